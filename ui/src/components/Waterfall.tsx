import { useVirtualizer } from "@tanstack/react-virtual";
import { ChevronsLeftRight, GitFork } from "lucide-react";
import { memo, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { flushSync } from "react-dom";
import type { Schemas, Span } from "@/api/client";
import { type Axis, axisOf, place, restTexts, ticks, tickText, tickTexts } from "@/lib/axis";
import { cn } from "@/lib/cn";
import { useCommand } from "@/lib/keys";
import { useNow } from "@/lib/now";
import { type Bar, type BarKind, barsOf, isOutside, nameOf, type StepSort, sortOf, spanTook, spanWaited } from "@/lib/spans";
import { count, halves, lasted } from "@/lib/text";
import { chosenStyle, Glyph, inkOf, toneOf } from "./status";
import { Button } from "./ui/button";
import { inputStyle } from "./ui/confirm";

const looks: Record<BarKind, string> = {
  good: "top-2.5 h-3.5 min-w-[3px] rounded-xs bg-good",
  bad: "top-2.5 h-3.5 min-w-[3px] rounded-xs bg-bad",
  busy: "top-2.5 h-3.5 min-w-[3px] rounded-xs bg-busy",
  rest: "top-2.5 h-3.5 min-w-[3px] rounded-xs border border-busy/40 bg-busy/25",
  ahead: "top-2.5 h-3.5 min-w-[3px] rounded-xs border border-dashed border-busy/50",
  next: "top-2.5 h-3.5 min-w-[3px] rounded-xs border border-dashed border-warn/60",
  pause: "top-1/2 h-px bg-[repeating-linear-gradient(90deg,var(--warn)_0_4px,transparent_4px_7px)]",
  wait: "top-1/2 h-px bg-faint",
  copied: "top-2.5 h-3.5 min-w-[3px] rounded-xs bg-idle",
};

const rowHeight = 34;

/** From so many steps on they can be searched. */
const many = 9;

/** How wide a label is about, in pixels. */
const wide = (text: string) => text.length * 6 + 6;

type Label = { x: number; text: string; title?: string; rest: boolean };

export function Waterfall({
  trace,
  chosen,
  onChoose,
  find: findFirst = "",
  onFind,
}: {
  trace: Schemas["Trace"];
  chosen?: string;
  onChoose: (step: string | undefined) => void;
  /** What is searched for at first. */
  find?: string;
  onFind: (text: string) => void;
}) {
  const { run } = trace;
  const ended = run.ended_at !== null;
  const second = useNow();
  // An ended run does not move; one that goes on does, each second.
  const now = ended ? Date.parse(run.ended_at!) : Math.max(second, Date.parse(run.queued_at) + 1000);
  const [find, setFind] = useState(findFirst);
  const [sort, setSort] = useState<StepSort>();
  const sorts = useMemo(() => {
    const n = { failed: 0, waiting: 0 };
    for (const span of trace.steps) for (const s of sortOf(span)) n[s]++;
    return n;
  }, [trace.steps]);
  const spans = useMemo(() => {
    const word = find.trim().toLowerCase();
    if (!word && !sort) return trace.steps;
    return trace.steps.filter((s) => (!word || s.name.toLowerCase().includes(word)) && (!sort || sortOf(s).includes(sort)));
  }, [trace.steps, find, sort]);
  const [shorten, setShorten] = useState<boolean>();
  const axis = useMemo(() => {
    const busy: [number, number][] = [];
    let from = Date.parse(run.queued_at);
    let to = now;
    for (const span of trace.steps) {
      for (const bar of barsOf(span, now, !ended)) {
        if (bar.kind === "copied") continue;
        from = Math.min(from, bar.from);
        to = Math.max(to, bar.to);
        if (bar.kind === "good" || bar.kind === "bad" || bar.kind === "busy") busy.push([bar.from, bar.to]);
      }
    }
    const plain = axisOf(busy, from, to, false, now);
    const short = axisOf(busy, from, to, true, now);
    // Rests are shortened when they take up most of the time.
    const restTime = short.pieces.filter((p) => p.rest).reduce((sum, p) => sum + p.to - p.from, 0);
    return (shorten ?? restTime > (to - from) * 0.5) ? short : plain;
  }, [trace.steps, run.queued_at, now, ended, shorten]);
  const isShort = axis.pieces.some((p) => p.rest);

  const scroller = useRef<HTMLDivElement>(null);
  const key = useCallback((i: number) => spans[i]?.step ?? i, [spans]);
  const virtual = useVirtualizer({
    count: spans.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 12,
    getItemKey: key,
  });
  const at = spans.findIndex((s) => s.step === chosen);
  // Keys come faster than what they choose is shown: each goes on from where the last one led.
  const asked = useRef<(string | undefined)[]>([]);
  useEffect(() => {
    const i = asked.current.indexOf(chosen);
    asked.current = i < 0 ? [] : asked.current.slice(i + 1);
  }, [chosen]);
  const move = (by: number) => {
    const last = asked.current.at(-1);
    const from = last === undefined ? at : spans.findIndex((s) => s.step === last);
    const next = Math.max(0, Math.min(spans.length - 1, from < 0 ? 0 : from + by));
    const step = spans[next]?.step;
    if (step === (last ?? chosen)) return;
    asked.current.push(step);
    onChoose(step);
    virtual.scrollToIndex(next);
  };
  const firstChosen = useRef(at);
  useEffect(() => {
    if (firstChosen.current > 10) virtual.scrollToIndex(firstChosen.current, { align: "center" });
  }, [virtual]);
  useCommand([
    { id: "next-step", label: "Next step", group: "This page", keys: "j", repeats: true, run: () => move(1) },
    { id: "previous-step", label: "Previous step", group: "This page", keys: "k", repeats: true, run: () => move(-1) },
    { id: "no-step", label: "Close the step", group: "This page", keys: "Escape", run: () => onChoose(undefined) },
    ...(axis.rests
      ? [
          {
            id: "rests",
            label: isShort ? "Show rests as long as they were" : "Shorten rests",
            group: "This page",
            keys: "z",
            run: () => setShorten(!isShort),
          },
        ]
      : []),
  ]);
  const head = useRef<HTMLDivElement>(null);
  const [room, setRoom] = useState(600);
  useEffect(() => {
    const element = head.current;
    if (!element) return;
    const size = new ResizeObserver(() => setRoom(element.clientWidth));
    size.observe(element);
    return () => size.disconnect();
  }, []);
  // A label has room for itself.
  const marks = useMemo(() => ticks(axis, Math.max(2, Math.min(10, Math.floor(room / 75)))), [axis, room]);
  const queue = useMemo(
    () => ({ from: Date.parse(run.queued_at), to: run.started_at ? Date.parse(run.started_at) : now }),
    [run.queued_at, run.started_at, now],
  );
  const labels = useMemo(() => labelsOf(axis, marks, room, queue), [axis, marks, room, queue]);
  const printing = usePrinting() && spans.length <= mostPrinted;
  const shownRows = printing ? spans.map((s, index) => ({ index, key: s.step, start: 0 })) : virtual.getVirtualItems();
  return (
    <div>
      {trace.steps.length >= many && (
        <div className="flex flex-wrap items-center gap-2 border-b border-line px-4 py-2 print:hidden">
          <input
            className={cn(inputStyle, "max-w-64 min-w-0 flex-1")}
            placeholder="Find a step…"
            aria-label="Find a step"
            data-search
            value={find}
            onChange={(e) => {
              setFind(e.target.value);
              onFind(e.target.value);
            }}
          />
          {(["failed", "waiting"] as const).map((s) => (
            <Button
              key={s}
              size="small"
              kind="quiet"
              aria-pressed={sort === s}
              className={cn(sort === s && "bg-accent-wash")}
              disabled={sorts[s] === 0 && sort !== s}
              onClick={() => setSort(sort === s ? undefined : s)}
            >
              {s === "failed" ? "With failures" : "Waiting"} <span className="tabular">{count(sorts[s])}</span>
            </Button>
          ))}
          {spans.length < trace.steps.length && (
            <span className="tabular text-xs text-faint" role="status">
              {count(spans.length)} of {count(trace.steps.length)}
            </span>
          )}
        </div>
      )}
      <div className="flex h-9 items-center border-b border-line text-2xs text-faint">
        <div className={cn("flex shrink-0 items-center px-4", nameWidth)}>
          {trace.steps.length > 1 ? `${count(trace.steps.length)} steps` : "Steps"}
          {axis.rests && (
            <Button
              kind="quiet"
              size="tiny"
              className="-mr-2 ml-auto"
              aria-pressed={isShort}
              onClick={() => setShorten(!isShort)}
              title={isShort ? "Show rests as long as they were" : "Shorten rests"}
            >
              <ChevronsLeftRight className="size-3!" />
              <span className="hidden sm:inline">{isShort ? "Rests shortened" : "Shorten rests"}</span>
            </Button>
          )}
        </div>
        <div ref={head} className="relative mr-20 h-full flex-1" aria-hidden="true" data-testid="axis">
          {labels.map((l) => (
            <span
              key={`${l.x} ${l.text}`}
              title={l.title}
              className={cn(
                "tabular absolute top-2.5 whitespace-nowrap",
                l.x > 0 && "-translate-x-1/2",
                l.rest && "font-medium text-soft italic",
              )}
              style={{ left: `${l.x * 100}%` }}
            >
              {l.text}
            </span>
          ))}
        </div>
      </div>
      {spans.length === 0 && <p className="px-4 py-6 text-center text-sm text-soft">No step is so.</p>}
      <div
        ref={scroller}
        tabIndex={0}
        role="group"
        aria-label="Waterfall of the steps"
        className="relative max-h-[70vh] overflow-y-auto print:max-h-none print:overflow-visible"
      >
        <div role="list" aria-label="Steps" className="relative" style={{ height: printing ? undefined : virtual.getTotalSize() }}>
          {shownRows.map((item) => {
            const span = spans[item.index];
            return (
              span && (
                <div
                  key={item.key}
                  role="listitem"
                  className={printing ? "break-inside-avoid" : "absolute inset-x-0 top-0"}
                  style={{ transform: printing ? undefined : `translateY(${item.start}px)`, height: rowHeight }}
                >
                  <SpanRow
                    span={span}
                    axis={axis}
                    now={now}
                    live={!ended}
                    chosen={span.step === chosen}
                    onChoose={onChoose}
                    marks={marks}
                    queue={queue}
                  />
                </div>
              )
            );
          })}
        </div>
      </div>
    </div>
  );
}

/** What stands over the axis: how long rests are, the wait of the run in its queue, and between them round times. */
function labelsOf(axis: Axis, marks: number[], room: number, queue: { from: number; to: number }): Label[] {
  const labels: Label[] = [];
  const fits = (x0: number, x1: number, ...texts: string[]) => texts.find((text) => wide(text) <= (x1 - x0) * room);
  for (const p of axis.pieces) {
    if (!p.rest) continue;
    const [long, short] = restTexts(p.to - p.from);
    const queued = Math.min(p.to, queue.to) - Math.max(p.from, queue.from) > (p.to - p.from) / 2;
    const text = fits(
      p.x0,
      p.x1,
      ...(queued ? [`queued ${tickText(p.to - p.from)}`, "queued"] : p.ahead ? [`in ${long}`] : []),
      long,
      short,
    );
    const title = queued ? `Queued for ${long}` : p.ahead ? `Planned: ${long} from now` : `Nothing happened for ${long}`;
    if (text) labels.push({ x: (p.x0 + p.x1) / 2, text, title, rest: true });
  }
  const [q0, q1] = [place(axis, queue.from), place(axis, queue.to)];
  if (!axis.pieces.some((p) => p.rest && p.from < queue.to) && fits(q0, q1, "queued"))
    labels.push({ x: (q0 + q1) / 2, text: "queued", title: `Queued for ${lasted(queue.to - queue.from)}`, rest: true });
  const texts = tickTexts(marks);
  for (const [i, t] of marks.entries()) {
    const x = place(axis, axis.from + t);
    const text = texts[i]!;
    const free = labels.every((l) => Math.abs(l.x - x) * room >= (wide(l.text) + wide(text)) / 2);
    if (free) labels.push({ x, text, rest: false });
  }
  return labels;
}

/** So many steps are printed, and of more those that are on the screen. */
const mostPrinted = 1000;

/** Whether the page is being printed: then all rows have to be there. */
function usePrinting() {
  const [printing, setPrinting] = useState(false);
  useEffect(() => {
    const media = matchMedia("print");
    // The print is made of what is there when this returns.
    const changed = () => flushSync(() => setPrinting(media.matches));
    const begin = () => flushSync(() => setPrinting(true));
    const end = () => setPrinting(false);
    media.addEventListener("change", changed);
    addEventListener("beforeprint", begin);
    addEventListener("afterprint", end);
    return () => {
      media.removeEventListener("change", changed);
      removeEventListener("beforeprint", begin);
      removeEventListener("afterprint", end);
    };
  }, []);
  return printing;
}

const nameWidth = "w-36 sm:w-64 2xl:w-96";

const opWords: Record<string, string> = {
  Sleep: "sleep",
  WaitForEvent: "event",
  WaitForSignal: "signal",
  InvokeFunction: "invoke",
  Gateway: "fetch",
  AIGateway: "AI",
  DeferAdd: "deferred",
};

export const opWord = (op: string) => opWords[op];

/** A name, cut in its middle: what tells steps apart is often at the end. One from right to left is cut at its end. */
function Name({ span }: { span: Span }) {
  const name = nameOf(span);
  const [first, last] = halves(name);
  return (
    <span dir="auto" className={cn("flex min-w-0", span.step === "step" && "text-soft italic")} title={name}>
      <span className="truncate whitespace-pre">{first}</span>
      {last && <span className="shrink-0 whitespace-pre">{last}</span>}
    </span>
  );
}

const SpanRow = memo(function SpanRow({
  span,
  axis,
  now,
  live,
  chosen,
  onChoose,
  marks,
  queue,
}: {
  span: Span;
  axis: Axis;
  now: number;
  live: boolean;
  chosen: boolean;
  onChoose: (step: string | undefined) => void;
  marks: number[];
  queue: { from: number; to: number };
}) {
  const bars = barsOf(span, now, live);
  const took = spanTook(span, now);
  const waited = spanWaited(span, now);
  const failures = span.tries.filter((t) => t.problem).length;
  return (
    <button
      type="button"
      aria-pressed={chosen}
      data-step
      onClick={() => onChoose(chosen ? undefined : span.step)}
      aria-label={`${nameOf(span)}: ${span.status}${took === undefined ? "" : `, ${lasted(took)}`}${failures ? `, ${failures} failed tries` : ""}${waited >= 100 ? `, ${lasted(waited)} in the queue` : ""}`}
      className={cn("group flex h-full w-full items-center text-left text-sm", chosen ? chosenStyle : "hover:bg-sunken")}
    >
      <span className={cn("flex shrink-0 items-center gap-2 px-4", nameWidth)}>
        <Glyph status={span.status} className={inkOf[toneOf(span.status)]} />
        <Name span={span} />
        {span.parallel && <GitFork className="hidden size-3 shrink-0 text-faint sm:block" aria-hidden="true" />}
        {opWord(span.op) && <span className="ml-auto hidden shrink-0 text-2xs text-soft sm:inline">{opWord(span.op)}</span>}
      </span>
      <span className="relative mr-2 h-full flex-1">
        <Stretch axis={axis} from={queue.from} to={queue.to} className="inset-y-0 bg-idle-wash/60" />
        {marks.map((t) => (
          <span key={t} className="absolute inset-y-0 w-px bg-line/70" style={{ left: `${place(axis, axis.from + t) * 100}%` }} />
        ))}
        {axis.pieces
          .filter((p) => p.rest)
          .map((p) => (
            <span
              key={p.from}
              className={cn(
                "absolute inset-y-0",
                p.ahead
                  ? "border-l border-dashed border-line-strong bg-[repeating-linear-gradient(135deg,var(--line)_0_1px,transparent_1px_7px)]"
                  : "bg-[repeating-linear-gradient(135deg,var(--line)_0_2px,transparent_2px_7px)]",
              )}
              style={{ left: `${p.x0 * 100}%`, width: `${(p.x1 - p.x0) * 100}%` }}
            />
          ))}
        {bars.map((bar, i) => (
          <Stretch key={i} axis={axis} from={bar.from} to={bar.to} className={lookOf(bar)} kind={bar.kind} />
        ))}
      </span>
      <span className="tabular w-18 shrink-0 pr-3 text-right text-xs whitespace-nowrap text-soft">
        {span.given ? "given" : span.copied ? "copied" : took === undefined ? "" : lasted(took)}
      </span>
    </button>
  );
});

const lookOf = (bar: Bar) =>
  cn(bar.open && bar.kind === "good" ? looks.busy : looks[bar.kind], bar.open && !isOutside(bar) && bar.kind !== "rest" && "breathing");

/** A stretch of time. */
function Stretch({ axis, from, to, className, kind }: { axis: Axis; from: number; to: number; className: string; kind?: BarKind }) {
  const x = place(axis, from);
  const width = place(axis, to) - x;
  return (
    <span
      data-bar={kind}
      className={cn("absolute", className)}
      style={{ left: `min(${x * 100}%, calc(100% - 3px))`, width: `${width * 100}%` }}
    />
  );
}
