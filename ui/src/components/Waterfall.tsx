import { useVirtualizer } from "@tanstack/react-virtual";
import { ChevronsLeftRight, GitFork } from "lucide-react";
import { memo, useCallback, useEffect, useMemo, useRef, useState } from "react";
import type { Schemas, Span } from "@/api/client";
import { type Axis, axisOf, place, ticks } from "@/lib/axis";
import { cn } from "@/lib/cn";
import { useCommand } from "@/lib/keys";
import { useNow } from "@/lib/now";
import { lasted, shown } from "@/lib/text";
import { chosenStyle, Glyph, inkOf, toneOf } from "./status";
import { Button } from "./ui/button";

const ms = (at: string | null | undefined) => (at ? Date.parse(at) : undefined);

type Bar = { from: number; to: number; kind: "good" | "bad" | "busy" | "rest" | "pause" | "copied" | "idle"; open?: boolean };

const resting = new Set(["Sleep", "WaitForEvent", "WaitForSignal", "InvokeFunction"]);

/** What is drawn of a step: its tries, the pauses between them, and rests. */
function barsOf(span: Span, now: number): Bar[] {
  const bars: Bar[] = [];
  if (span.copied || span.given) {
    const at = ms(span.ended_at) ?? now;
    return [{ from: at, to: at, kind: "copied" }];
  }
  if (resting.has(span.op) && span.started_at) {
    const open = !span.ended_at && (span.status === "sleeping" || span.status === "waiting");
    bars.push({
      from: ms(span.started_at)!,
      to: ms(span.ended_at) ?? (open ? now : (ms(span.until) ?? now)),
      kind: span.status === "failed" ? "bad" : "rest",
      open,
    });
    return bars;
  }
  for (const t of span.tries) {
    const from = ms(t.started_at) ?? ms(t.ended_at) ?? now;
    const to = ms(t.ended_at) ?? now;
    bars.push({ from, to, kind: t.problem ? "bad" : "good", open: !t.ended_at });
    if (t.next_at) bars.push({ from: to, to: Math.min(ms(t.next_at)!, Math.max(now, to)), kind: "pause" });
  }
  if (span.status === "planned" && span.started_at) bars.push({ from: ms(span.started_at)!, to: now, kind: "busy", open: true });
  return bars;
}

/** The time that a step took in all. */
export function spanTook(span: Span, now: number): number | undefined {
  const bars = barsOf(span, now);
  if (bars.length === 0 || span.copied || span.given) return undefined;
  return Math.max(...bars.map((b) => b.to)) - Math.min(...bars.map((b) => b.from));
}

const looks: Record<Bar["kind"], string> = {
  good: "bg-good",
  bad: "bg-bad",
  busy: "bg-busy",
  rest: "bg-busy/25 border border-busy/40",
  pause: "h-px! top-1/2! bg-[repeating-linear-gradient(90deg,var(--warn)_0_4px,transparent_4px_7px)] rounded-none!",
  copied: "bg-idle",
  idle: "bg-idle/50",
};

/** A round time, without zeros that say nothing. */
const tickText = (t: number) =>
  t === 0
    ? "0"
    : lasted(t)
        .replace(/\.0+ s$/, " s")
        .replace(/(\.\d)0 s$/, "$1 s");

const rowHeight = 34;

export function Waterfall({
  trace,
  chosen,
  onChoose,
}: {
  trace: Schemas["Trace"];
  chosen?: string;
  onChoose: (step: string | undefined) => void;
}) {
  const ended = trace.run.ended_at !== null;
  const second = useNow();
  // An ended run does not move; one that goes on does, each second.
  const now = ended ? Date.parse(trace.run.ended_at!) : Math.max(second, Date.parse(trace.run.queued_at) + 1000);
  const spans = trace.steps;
  const [shorten, setShorten] = useState<boolean>();
  const axis = useMemo(() => {
    const busy: [number, number][] = [];
    let from = Date.parse(trace.run.queued_at);
    let to = now;
    for (const span of spans) {
      for (const bar of barsOf(span, now)) {
        if (bar.kind === "copied") continue;
        from = Math.min(from, bar.from);
        to = Math.max(to, bar.to);
        if (bar.kind !== "rest" && bar.kind !== "pause") busy.push([bar.from, bar.to]);
      }
    }
    const plain = axisOf(busy, from, to, false);
    const short = axisOf(busy, from, to, true);
    // Rests are shortened when they take up most of the time.
    const restTime = short.pieces.filter((p) => p.rest).reduce((sum, p) => sum + p.to - p.from, 0);
    return (shorten ?? restTime > (to - from) * 0.5) ? short : plain;
  }, [spans, trace.run.queued_at, now, shorten]);
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
  const move = (by: number) => {
    const next = Math.max(0, Math.min(spans.length - 1, at + by));
    onChoose(spans[next]?.step);
    virtual.scrollToIndex(next);
  };
  const firstChosen = useRef(at);
  useEffect(() => {
    if (firstChosen.current > 10) virtual.scrollToIndex(firstChosen.current, { align: "center" });
  }, [virtual]);
  useCommand([
    { id: "next-step", label: "Next step", group: "This page", keys: "j", run: () => move(1) },
    { id: "previous-step", label: "Previous step", group: "This page", keys: "k", run: () => move(at < 0 ? 1 : -1) },
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
  const [width, setWidth] = useState(800);
  useEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const size = new ResizeObserver(() => setWidth(element.clientWidth));
    size.observe(element);
    return () => size.disconnect();
  }, []);
  // A label has room for itself.
  const room = Math.max(120, width - (width < 560 ? 210 : 330));
  const marks = useMemo(() => ticks(axis, Math.max(2, Math.min(10, Math.floor(room / 75)))), [axis, room]);
  return (
    <div>
      <div className="flex h-9 items-center border-b border-line text-2xs text-faint">
        <div className="flex w-36 shrink-0 items-center px-4 sm:w-64">
          {spans.length > 1 ? `${spans.length} steps` : "Steps"}
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
        <div className="relative mr-16 h-full flex-1" aria-hidden="true">
          {marks.map((t) => (
            <span
              key={t}
              className="tabular absolute top-2.5 -translate-x-1/2 whitespace-nowrap first:translate-x-0"
              style={{ left: `${place(axis, axis.from + t) * 100}%` }}
            >
              {tickText(t)}
            </span>
          ))}
        </div>
      </div>
      <div ref={scroller} tabIndex={0} role="group" aria-label="Waterfall of the steps" className="relative max-h-[70vh] overflow-y-auto">
        <div role="list" aria-label="Steps" className="relative" style={{ height: virtual.getTotalSize() }}>
          {virtual.getVirtualItems().map((item) => {
            const span = spans[item.index];
            return (
              span && (
                <div
                  key={item.key}
                  role="listitem"
                  className="absolute inset-x-0 top-0"
                  style={{ transform: `translateY(${item.start}px)`, height: rowHeight }}
                >
                  <SpanRow span={span} axis={axis} now={now} chosen={span.step === chosen} onChoose={onChoose} marks={marks} />
                </div>
              )
            );
          })}
        </div>
      </div>
    </div>
  );
}

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

const SpanRow = memo(function SpanRow({
  span,
  axis,
  now,
  chosen,
  onChoose,
  marks,
}: {
  span: Span;
  axis: Axis;
  now: number;
  chosen: boolean;
  onChoose: (step: string | undefined) => void;
  marks: number[];
}) {
  const bars = barsOf(span, now);
  const took = spanTook(span, now);
  const failures = span.tries.filter((t) => t.problem).length;
  return (
    <button
      type="button"
      aria-pressed={chosen}
      data-step
      onClick={() => onChoose(chosen ? undefined : span.step)}
      aria-label={`${shown(span.name)}: ${span.status}${took === undefined ? "" : `, ${lasted(took)}`}${failures ? `, ${failures} failed tries` : ""}`}
      className={cn("group flex h-full w-full items-center text-left text-sm", chosen ? chosenStyle : "hover:bg-sunken")}
    >
      <span className="flex w-36 shrink-0 items-center gap-2 px-4 sm:w-64">
        <Glyph status={span.status} className={inkOf[toneOf(span.status)]} />
        <span className={cn("truncate", span.step === "step" && "text-soft italic")}>{shown(span.name)}</span>
        {span.parallel && <GitFork className="hidden size-3 shrink-0 text-faint sm:block" aria-hidden="true" />}
        {opWord(span.op) && <span className="ml-auto hidden shrink-0 text-2xs text-soft sm:inline">{opWord(span.op)}</span>}
      </span>
      <span className="relative mr-2 h-full flex-1">
        {marks.map((t) => (
          <span key={t} className="absolute inset-y-0 w-px bg-line/70" style={{ left: `${place(axis, axis.from + t) * 100}%` }} />
        ))}
        {axis.pieces
          .filter((p) => p.rest)
          .map((p) => (
            <span
              key={p.from}
              className="absolute inset-y-0 bg-[repeating-linear-gradient(135deg,var(--line)_0_2px,transparent_2px_7px)]"
              style={{ left: `${p.x0 * 100}%`, width: `${(p.x1 - p.x0) * 100}%` }}
            />
          ))}
        {bars.map((bar, i) => {
          const x = place(axis, bar.from);
          const width = place(axis, bar.to) - x;
          return (
            <span
              key={i}
              className={cn(
                "absolute top-2.5 h-3.5 min-w-[3px] rounded-xs",
                looks[bar.kind],
                bar.open && bar.kind !== "rest" && "breathing",
                bar.open && bar.kind === "good" && "bg-busy",
              )}
              style={{ left: `min(${x * 100}%, calc(100% - 3px))`, width: `${width * 100}%` }}
            />
          );
        })}
      </span>
      <span className="tabular w-14 shrink-0 pr-3 text-right text-xs text-soft">
        {span.given ? "given" : span.copied ? "copied" : took === undefined ? "" : lasted(took)}
      </span>
    </button>
  );
});
