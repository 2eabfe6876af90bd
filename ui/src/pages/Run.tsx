import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useRouter } from "@tanstack/react-router";
import { Ban, PencilLine, RotateCcw, Trash2 } from "lucide-react";
import { type ReactNode, useEffect, useMemo, useRef, useState } from "react";
import { cancelRun, discardLetter, rerun, retryLetter } from "@/api/actions";
import { ApiError, type Schemas, type Span } from "@/api/client";
import { linksQuery, stepQuery, traceQuery, whyQuery } from "@/api/queries";
import { Act, useLacks, useOnce } from "@/components/Act";
import { Editor } from "@/components/Editor";
import { ErrorView } from "@/components/ErrorView";
import { Exchange } from "@/components/Exchange";
import { JsonView } from "@/components/JsonView";
import { Ago, Card, Clock, Fact, Facts, Id, Page, useTitle } from "@/components/layout";
import { Notes } from "@/components/Notes";
import { Took } from "@/components/RunRow";
import { StepDetail } from "@/components/StepDetail";
import { Bones, Empty, Failed, isMissing } from "@/components/states";
import { StatusPill, StatusWord } from "@/components/status";
import { Confirm, Field, inputStyle, useForgotten } from "@/components/ui/confirm";
import { tell, tellError } from "@/components/ui/toast";
import { Waterfall } from "@/components/Waterfall";
import { cn } from "@/lib/cn";
import { failureOf } from "@/lib/json";
import { useCommand } from "@/lib/keys";
import { useNow } from "@/lib/now";
import { nameOf, withoutSteps } from "@/lib/spans";
import { clock, cutTimes, many, shown, until, wall, zone } from "@/lib/text";
import { failingOf } from "@/lib/trace";
import { runRoute } from "@/router";

export function RunPage() {
  const { run: id } = runRoute.useParams();
  // Another run is another page: nothing that was open stays so.
  return <RunView key={id} id={id} />;
}

function RunView({ id }: { id: string }) {
  const trace = useQuery(traceQuery(id));
  const links = useQuery(linksQuery(id));
  const missing = isMissing(trace.error);
  useTitle(trace.data && !missing ? `${trace.data.run.status} · ${shown(trace.data.run.function)}` : "Run");
  if (trace.isPending) return <Bones rows={10} className="mx-auto max-w-6xl p-8" />;
  // The server refuses to look for what cannot be the id of a run.
  if (trace.error instanceof ApiError && trace.error.status === 400) return <Failed error={new ApiError(404, trace.error.message)} whole />;
  if (trace.isError && (missing || !trace.data))
    return <Failed error={trace.error} retry={() => void trace.refetch()} was={trace.data !== undefined} whole />;
  return <Loaded trace={trace.data} links={links.data} problem={links.error} />;
}

function Loaded({ trace, links, problem }: { trace: Schemas["Trace"]; links?: Schemas["Links"]; problem: Error | null }) {
  const { run } = trace;
  const { chosen, choose, find, setFind } = useSteps(run.run_id);
  const span = trace.steps.find((s) => s.step === chosen);
  const ended = run.ended_at !== null;
  const failing = useMemo(() => (ended ? [] : failingOf(trace.steps)), [ended, trace.steps]);
  return (
    <Page
      wide
      title={
        <span className="flex flex-wrap items-center gap-x-3 gap-y-1">
          <Link to="/functions/$slug" params={{ slug: run.function }} className="min-w-0 hover:text-accent">
            {shown(run.function)}
          </Link>
          {failing.length > 0 ? <StatusPill status="retrying">{run.status}, retrying</StatusPill> : <StatusPill status={run.status} />}
        </span>
      }
      sub={
        <span className="flex flex-wrap items-center gap-x-4 gap-y-1">
          <Id label="Copy the id of the run">{run.run_id}</Id>
          <span className="min-w-0">
            {run.cron ? "cron" : "event"}{" "}
            {run.cron ? (
              <code className="font-mono text-xs">{run.cron}</code>
            ) : (
              <Link to="/events/$event" params={{ event: run.event_id }} className="text-accent hover:underline">
                {shown(run.event_name)}
              </Link>
            )}
          </span>
          <span title={clock(run.queued_at)}>
            queued <Ago at={run.queued_at} />
          </span>
          {run.started_at && (
            <span>
              {ended ? "took" : "at work for"} <Took run={run} />
            </span>
          )}
        </span>
      }
      aside={<Actions run={run} links={links} />}
    >
      {!ended && <Why run={run} seq={trace.seq} failing={failing.length > 0} />}
      {failing.length > 0 && <Failing run={run} failing={failing} most={links?.function?.attempts} onStep={choose} />}
      {run.status === "Failed" && <Failure trace={trace} links={links} onStep={choose} />}
      {run.status === "Skipped" && links?.run.output != null && <Skipped output={links.run.output} />}
      <div className={span ? "xl:grid xl:grid-cols-[minmax(0,3fr)_minmax(0,2fr)] xl:grid-rows-[auto_1fr] xl:gap-x-4" : ""}>
        <Card bare className="overflow-hidden">
          {trace.steps.length === 0 ? (
            <Empty title={ended ? withoutSteps(run.status).title : "Its first step has not come yet"} className="py-10">
              {ended ? withoutSteps(run.status).text : "The steps show here as soon as the app tells of them."}
            </Empty>
          ) : (
            <Waterfall trace={trace} chosen={chosen} onChoose={choose} find={find} onFind={setFind} />
          )}
        </Card>
        {span && (
          <StepPanel step={span.step}>
            <StepDetail
              key={span.step}
              run={run}
              span={span}
              notes={notesOf(links, span.step)}
              child={links?.children.find((c) => c.step === span.step)}
              onClose={() => choose(undefined)}
            />
          </StepPanel>
        )}
        <div className="min-w-0">
          {problem && !links ? (
            <Failed error={problem} />
          ) : links ? (
            <Below links={links} problem={problem} run={run} narrow={span !== undefined} />
          ) : (
            <Bones rows={4} />
          )}
        </div>
      </div>
    </Page>
  );
}

/** The step that is chosen and what steps are searched for, as the address has them. To open a step is to go somewhere: Back closes it. */
function useSteps(run: string) {
  const { step: chosen, find } = runRoute.useSearch();
  const navigate = useNavigate();
  const { history } = useRouter();
  // Keys come faster than what they choose is shown.
  const asked = useRef(chosen);
  // Whether it was opened here: then the page without it is the one before.
  const opened = useRef(false);
  useEffect(() => {
    asked.current = chosen;
    if (!chosen) opened.current = false;
  }, [chosen]);
  const go = (search: { step?: string; find?: string }, replace: boolean) =>
    void navigate({ to: "/runs/$run", params: { run }, search, replace, resetScroll: false });
  const choose = (step: string | undefined) => {
    const opens = step !== undefined && !asked.current;
    asked.current = step;
    if (step === undefined && opened.current) {
      opened.current = false;
      history.back();
      return;
    }
    opened.current ||= opens;
    go({ step, find }, !opens);
  };
  return { chosen, choose, find, setFind: (text: string) => go({ step: chosen, find: text || undefined }, true) };
}

/** What is noted about a step, or about the run; what is noted about the function's body is the run's. */
const notesOf = (links: Schemas["Links"] | undefined, step = "") => links?.run.metadata?.filter((note) => (note.step ?? "") === step) ?? [];

/**
 * Where the step that is chosen is shown: beside the waterfall; over the page's foot, where there
 * is no room beside it; under it, where there is no room for both in the height.
 */
function StepPanel({ step, children }: { step: string; children: ReactNode }) {
  const panel = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = panel.current;
    if (element && getComputedStyle(element).position === "relative") element.querySelector("h2")?.scrollIntoView({ block: "nearest" });
  }, [step]);
  return (
    <div
      ref={panel}
      data-testid="step-panel"
      className="border bg-panel max-xl:low:relative max-xl:low:mt-4 max-xl:low:rounded-xl max-xl:low:border-line max-xl:low:[&_h2]:scroll-mb-28 max-xl:tall:fixed max-xl:tall:inset-x-0 max-xl:tall:bottom-0 max-xl:tall:z-30 max-xl:tall:max-h-[72dvh] max-xl:tall:overflow-y-auto max-xl:tall:rounded-t-xl max-xl:tall:border-line-strong max-xl:tall:shadow-pop xl:sticky xl:top-4 xl:row-span-2 xl:max-h-[calc(100dvh-2rem)] xl:self-start xl:overflow-y-auto xl:rounded-xl xl:border-line print:static print:mt-4 print:max-h-none"
    >
      {children}
    </div>
  );
}

/** Reasons for which somebody may have to do something. */
const troubles = new Set(["away", "retry", "function", "stuck"]);

function Why({ run, seq, failing }: { run: Schemas["Row"]; seq: number; failing: boolean }) {
  const why = useQuery({ ...whyQuery(run.run_id, `${seq}/${run.status}`), placeholderData: keepPreviousData });
  const now = useNow();
  if (!why.data || why.data.reason === "ended") return null;
  // What fails says it itself, and more.
  if (why.data.reason === "retry" && failing) return null;
  return (
    <p
      className={cn(
        "mb-4 flex flex-wrap items-center gap-x-2 rounded-lg border px-4 py-2.5 text-sm",
        troubles.has(why.data.reason) ? "border-warn/30 bg-warn-wash/60" : "border-busy/25 bg-busy-wash/60",
      )}
      role="status"
    >
      <span className="min-w-0 wrap-anywhere">
        {cutTimes(why.data.why, why.data.times).map((part, i) => (part.at ? <When key={i} at={part.at} now={now} /> : shown(part.text)))}
      </span>
      {why.data.waits_for_run && (
        <Link to="/runs/$run" params={{ run: why.data.waits_for_run }} className="font-medium text-accent hover:underline">
          Show that run
        </Link>
      )}
    </p>
  );
}

/** A time in a sentence, and how long until then. */
function When({ at, now }: { at: string; now: number }) {
  return (
    <time dateTime={at} title={`${clock(at)} ${zone(at)}`} className="tabular font-medium whitespace-nowrap">
      {wall(at, now)}
      {Date.parse(at) > now && <> ({until(at, now)})</>}
    </time>
  );
}

/** Why the last try of a run that goes on failed, and when the next one is. */
function Failing({ run, failing, most, onStep }: { run: Schemas["Row"]; failing: Span[]; most?: number; onStep: (step: string) => void }) {
  const span = failing[0]!;
  const now = useNow();
  const detail = useQuery({
    ...stepQuery(run.run_id, span.step, `${span.status}/${span.tries.length}/${span.ended_at}`),
    placeholderData: keepPreviousData,
  });
  const last = detail.data?.attempts.findLast((a) => a.error);
  const failure = failureOf(last?.error);
  const next = span.tries.at(-1)?.next_at;
  const away = span.status === "unreachable";
  return (
    <section aria-label="Failing" data-testid="failing" className="mb-4 overflow-hidden rounded-xl border border-warn/40 bg-panel">
      <h2 className="sr-only">Failing</h2>
      <div className="flex flex-wrap items-center gap-x-4 gap-y-1 bg-warn-wash/60 px-4 py-2.5 text-sm">
        <span className="min-w-0 wrap-anywhere">
          {away ? "The app was not reached for" : "Failing in"}{" "}
          <button
            type="button"
            onClick={() => onStep(span.step)}
            className="max-w-full text-left font-semibold text-warn underline decoration-warn/40 underline-offset-2 hover:decoration-warn"
          >
            {nameOf(span)}
          </button>
          {failing.length > 1 && <>, and {many(failing.length - 1, "more step", "more steps")}</>}
        </span>
        {last && !away && (
          <span className="text-soft">
            try {last.attempt}
            {most !== undefined && most >= last.attempt && <> of {most}</>} failed <Ago at={last.ended_at ?? run.queued_at} />
          </span>
        )}
        {next && (
          <span>
            {Date.parse(next) > now ? (
              <>
                next try at <When at={next} now={now} />
              </>
            ) : (
              "the next try is due"
            )}
          </span>
        )}
      </div>
      {failure ? (
        <ErrorView failure={failure} bare mild className="[&>div:first-child]:px-4 [&>div:first-child]:py-3" />
      ) : detail.isError ? (
        <Failed error={detail.error} retry={() => void detail.refetch()} />
      ) : (
        <Bones rows={2} />
      )}
      {last?.exchange && (
        <div className="border-t border-line px-4 py-2.5">
          <Exchange run={run.run_id} n={last.seq} />
        </div>
      )}
    </section>
  );
}

/** Where a run failed and why: the whole of it, so that nobody has to look for it. */
function Failure({ trace, links, onStep }: { trace: Schemas["Trace"]; links?: Schemas["Links"]; onStep: (step: string) => void }) {
  // The step that failed last, or the function's body.
  const failed =
    trace.steps.findLast((s) => s.status === "failed" && s.step !== "step") ?? trace.steps.findLast((s) => s.status === "failed");
  const body = trace.steps.find((s) => s.step === "step" && s.status === "failed");
  // An error of the body that says another thing than the step's is the body's own.
  const own = body && failed && body.problem && body.problem !== failed.problem ? body : (failed ?? body);
  const detail = useQuery({ ...stepQuery(trace.run.run_id, own?.step ?? "step", "end"), enabled: own !== undefined });
  const error = detail.data?.error ?? links?.run.output;
  const failure = failureOf(error);
  const sent = detail.data?.attempts.findLast((a) => a.exchange);
  const letter = links?.dead_letter;
  const version = links?.run.function_version;
  return (
    <section aria-label="Failure" data-testid="failure" className="mb-4 overflow-hidden rounded-xl border border-bad/40 bg-panel">
      <h2 className="sr-only">Failure</h2>
      <div className="flex flex-wrap items-center gap-x-4 gap-y-1 bg-bad-wash/60 px-4 py-2.5 text-sm">
        <span className="min-w-0 wrap-anywhere">
          Failed in{" "}
          {own ? (
            <button
              type="button"
              onClick={() => onStep(own.step)}
              className="max-w-full text-left font-semibold text-bad underline decoration-bad/40 underline-offset-2 hover:decoration-bad"
            >
              {nameOf(own)}
            </button>
          ) : (
            <strong className="text-bad">{letter?.step ? shown(letter.step) : "the function"}</strong>
          )}
          {own && own.tries.length > 0 && <> on try {own.tries.length}</>}
        </span>
        {letter?.reason && <span className="min-w-0 text-soft wrap-anywhere">{shown(letter.reason)}</span>}
        {version !== undefined && <span className="text-soft">function version {version}</span>}
        {letter && (
          <Link
            to="/dead-letters/$fingerprint"
            params={{ fingerprint: letter.fingerprint }}
            className="ml-auto text-accent hover:underline"
          >
            Those like it
          </Link>
        )}
      </div>
      {failure ? <ErrorView failure={failure} bare className="[&>div:first-child]:px-4 [&>div:first-child]:py-3" /> : <Bones rows={2} />}
      {sent && (
        <div className="border-t border-line px-4 py-2.5">
          <Exchange run={trace.run.run_id} n={sent.seq} />
        </div>
      )}
      {letter?.state === "retried" && letter.retried_as && (
        <p className="border-t border-line px-4 py-2 text-sm text-soft">
          It was retried as{" "}
          <Link to="/runs/$run" params={{ run: letter.retried_as }} className="text-accent hover:underline">
            {letter.retried_as}
          </Link>
        </p>
      )}
      {letter?.state === "discarded" && (
        <p className="border-t border-line px-4 py-2 text-sm text-soft wrap-anywhere">Discarded: {shown(letter.discard_reason ?? "")}</p>
      )}
    </section>
  );
}

function Skipped({ output }: { output: unknown }) {
  return (
    <div className="mb-4">
      <h2 className="mb-1.5 text-xs font-semibold text-faint">Why it was skipped</h2>
      <JsonView value={output} label="reason" />
    </div>
  );
}

type Around = { links: Schemas["Links"]; problem: Error | null; run: Schemas["Row"]; narrow: boolean };

function Below({ links, problem, run, narrow }: Around) {
  const notes = notesOf(links);
  return (
    <div className={`mt-4 grid items-start gap-4 lg:grid-cols-2 ${narrow ? "xl:grid-cols-1" : ""}`}>
      <Card title={links.events.length > 1 ? `Input: ${links.events.length} events` : "Input"}>
        <div className="space-y-3">
          {links.events.map((event) => (
            <div key={event.internal_id}>
              {links.events.length > 1 && <p className="mb-1 text-xs text-faint wrap-anywhere">{shown(event.name)}</p>}
              <JsonView value={event.data} label="input" />
            </div>
          ))}
          {links.events.length === 0 && <p className="text-sm text-soft">Its event is not kept any more.</p>}
        </div>
      </Card>
      {run.status === "Completed" && (
        <Card title="Output">
          {/* That the run has ended is known before what it ended with. */}
          {links.run.ended_at ? (
            <JsonView value={links.run.output} label="output" />
          ) : problem ? (
            <Failed error={problem} />
          ) : (
            <Bones rows={2} className="" />
          )}
        </Card>
      )}
      {notes.length > 0 && (
        <Card title="Metadata">
          <Notes notes={notes} />
        </Card>
      )}
      {links.chain.length > 0 && (
        <Card title="Replays" bare>
          <Chain chain={links.chain} run={run.run_id} />
        </Card>
      )}
      <Card title="About this run">
        <Facts>
          {links.events.map((event) => (
            <Fact key={event.internal_id} name="Event">
              <Link to="/events/$event" params={{ event: event.internal_id }} className="text-accent hover:underline">
                {shown(event.name)}
              </Link>
            </Fact>
          ))}
          {links.parent && (
            <Fact name="Invoked by">
              <RunLink run={links.parent.run} />
            </Fact>
          )}
          {links.children.map((child) => (
            <Fact key={child.run.run_id} name="Invoked">
              <RunLink run={child.run} />
            </Fact>
          ))}
          <Fact name="App">
            <Link to="/apps" className="hover:text-accent">
              {shown(links.run.app)}
            </Link>
          </Fact>
          <Fact name="Function version">{links.run.function_version}</Fact>
          <Fact name="Queued">
            <Clock at={run.queued_at} />
          </Fact>
          {run.started_at && (
            <Fact name="Started">
              <Clock at={run.started_at} />
            </Fact>
          )}
          {run.ended_at && (
            <Fact name="Ended">
              <Clock at={run.ended_at} />
            </Fact>
          )}
        </Facts>
      </Card>
    </div>
  );
}

/** A run and all that repeat it, in the order in which they were started. */
function Chain({ chain, run }: { chain: Schemas["Row"][]; run: string }) {
  const event = chain[0]?.event_id;
  return (
    <ol aria-label="The run and what repeats it" className="divide-y divide-line">
      {chain.map((r, i) => {
        const here = r.run_id === run;
        const text = (
          <>
            <span className="tabular w-5 shrink-0 text-right text-xs text-faint">{i + 1}</span>
            <StatusWord status={r.status} className="w-24 shrink-0 text-xs" />
            <span className="min-w-0 flex-1 truncate text-soft">
              {here ? <span className="font-medium text-ink">This run</span> : i === 0 ? "The first" : "Rerun"}
              {r.event_id !== event && ", with other data"}
              {r.problem && <span className="text-bad"> {shown(r.problem)}</span>}
            </span>
            <Ago at={r.queued_at} className="shrink-0 text-xs text-faint" />
          </>
        );
        const look = "flex items-center gap-3 px-4 py-2 text-sm";
        return (
          <li key={r.run_id}>
            {here ? (
              <div aria-current="true" className={`${look} bg-accent-wash/60`}>
                {text}
              </div>
            ) : (
              <Link to="/runs/$run" params={{ run: r.run_id }} className={`${look} hover:bg-sunken`}>
                {text}
              </Link>
            )}
          </li>
        );
      })}
    </ol>
  );
}

function RunLink({ run }: { run: Schemas["Row"] }) {
  return (
    <Link to="/runs/$run" params={{ run: run.run_id }} className="inline-flex flex-wrap items-center gap-x-3 hover:text-accent">
      <StatusWord status={run.status} className="text-xs" />
      <span className="min-w-0">{shown(run.function)}</span>
      <Ago at={run.queued_at} className="text-xs text-faint" />
    </Link>
  );
}

function Actions({ run, links }: { run: Schemas["Row"]; links?: Schemas["Links"] }) {
  const [asking, setAsking] = useState<"cancel" | "edit" | "discard">();
  const [reason, setReason] = useState("");
  useForgotten(asking === "discard", () => setReason(""));
  const [busy, once] = useOnce();
  const why = useLacks();
  const navigate = useNavigate();
  const ended = run.ended_at !== null;
  const letter = links?.dead_letter?.state === "open";
  const start = async (data?: unknown) => {
    const started = letter ? await retryLetter(run.run_id, data) : await rerun(run.run_id, { data });
    tell(letter ? "It is tried again" : "A run has started", { run: started });
    await navigate({ to: "/runs/$run", params: { run: started } });
  };
  const again = () => void once(() => start().catch((error) => tellError("It could not be started", error)));
  const first = links?.events[0];
  const input = useMemo(() => first?.data, [first]);
  const others = (links?.events.length ?? 1) - 1;
  useCommand([
    ...(ended
      ? [
          {
            id: "rerun",
            label: letter ? "Retry this run" : "Rerun this run",
            group: "This page",
            keys: "r",
            off: busy ? "A run is being started." : why,
            run: again,
          },
        ]
      : []),
    ...(ended ? [] : [{ id: "cancel", label: "Cancel this run", group: "This page", keys: "x", off: why, run: () => setAsking("cancel") }]),
    { id: "edit", label: "Edit the input and run again", group: "This page", keys: "e", off: why, run: () => setAsking("edit") },
  ]);
  return (
    <>
      {!ended && (
        <Act kind="danger" onClick={() => setAsking("cancel")}>
          <Ban /> Cancel
        </Act>
      )}
      {letter && (
        <Act onClick={() => setAsking("discard")}>
          <Trash2 /> Discard
        </Act>
      )}
      <Act onClick={() => setAsking("edit")} disabled={input === undefined}>
        <PencilLine /> Edit and {letter ? "retry" : "rerun"}
      </Act>
      {ended && (
        <Act kind="main" busy={busy} onClick={again}>
          <RotateCcw /> {letter ? "Retry" : "Rerun"}
        </Act>
      )}
      <Confirm
        open={asking === "cancel"}
        onOpenChange={(open) => setAsking(open ? "cancel" : undefined)}
        title="Cancel this run?"
        action="Cancel the run"
        danger
        onConfirm={async () => {
          await cancelRun(run.run_id);
          tell("The run is cancelled");
        }}
      >
        <p>
          What it is doing is interrupted, and it ends as cancelled. That cannot be undone; it can be run again from its start or from a
          step.
        </p>
      </Confirm>
      <Confirm
        open={asking === "discard"}
        onOpenChange={(open) => setAsking(open ? "discard" : undefined)}
        title="Discard this dead letter?"
        action="Discard"
        danger
        disabled={reason.trim() === ""}
        onConfirm={async () => {
          await discardLetter(run.run_id, reason);
          tell("The dead letter is discarded");
        }}
      >
        <p>The run stays, and nobody is asked to look at it any more.</p>
        <Field label="Why it need not be run again">
          <input className={inputStyle} value={reason} maxLength={2000} onChange={(event) => setReason(event.target.value)} />
        </Field>
      </Confirm>
      {asking === "edit" && (
        <Editor
          title={letter ? "Edit and retry" : "Edit and rerun"}
          description={
            others > 0
              ? `This run has a batch of ${others + 1} events. The data of the first of them, ${shown(first?.name ?? "")} ${first?.internal_id}, is edited, for the new run alone. The new run gets the other ${others === 1 ? "one as it was" : `${others} as they were`}.`
              : `The data of ${shown(run.event_name)}, for the new run alone. The event stays as it was.`
          }
          value={input ?? {}}
          action="Start the run"
          events={run.event_name ? [run.event_name] : []}
          onClose={() => setAsking(undefined)}
          onSubmit={start}
        />
      )}
    </>
  );
}
