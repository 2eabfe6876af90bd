import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { PencilLine, Play, X } from "lucide-react";
import { useState } from "react";
import { rerun } from "@/api/actions";
import type { Schemas, Span } from "@/api/client";
import { stepQuery } from "@/api/queries";
import { failureOf, write } from "@/lib/json";
import { useCommand } from "@/lib/keys";
import { useNow } from "@/lib/now";
import { nameOf, spanTook, spanWaited } from "@/lib/spans";
import { bytes, clock, lasted, shown, until, zone } from "@/lib/text";
import { Act } from "./Act";
import { Editor } from "./Editor";
import { ErrorView } from "./ErrorView";
import { Exchange } from "./Exchange";
import { JsonView } from "./JsonView";
import { Ago, Clock, Fact, Facts } from "./layout";
import { Notes } from "./Notes";
import { Bones, Failed } from "./states";
import { StatusPill } from "./status";
import { Button } from "./ui/button";
import { Confirm } from "./ui/confirm";
import { tell } from "./ui/toast";
import { opWord } from "./Waterfall";

const waitWords: Record<string, string> = {
  event: "Event",
  signal: "Signal",
  function_id: "Function",
  if: "Condition",
  timeout: "For at most",
};

/** What a step waits for, for people. */
function WaitsFor({ value }: { value: unknown }) {
  if (!value || typeof value !== "object") return null;
  return Object.entries(value)
    .filter(([key, v]) => waitWords[key] && v)
    .map(([key, v]) => (
      <Fact key={key} name={waitWords[key]!}>
        <code className="font-mono text-xs break-all">{shown(typeof v === "string" ? v : write(v, 0))}</code>
      </Fact>
    ));
}

export function StepDetail({
  run,
  span,
  child,
  notes,
  onClose,
}: {
  run: Schemas["Row"];
  span: Span;
  child?: Schemas["Child"];
  /** What is noted about it. */
  notes: Schemas["Note"][];
  onClose: () => void;
}) {
  const version = `${span.status}/${span.tries.length}/${span.ended_at}`;
  const step = useQuery({ ...stepQuery(run.run_id, span.step, version), placeholderData: keepPreviousData });
  const detail = step.data?.step === span.step || (span.step === "step" && step.data?.step === "") ? step.data : undefined;
  const now = useNow();
  const [asking, setAsking] = useState<"rerun" | "result">();
  const navigate = useNavigate();
  const close = () => {
    // The focus goes back to where the step was chosen.
    document.querySelector<HTMLElement>("[data-step][aria-pressed=true]")?.focus();
    onClose();
  };
  useCommand([{ id: "close-step", label: "Close the step", group: "This page", keys: "Escape", run: close }]);
  const took = spanTook(span, now);
  const waited = spanWaited(span, now);
  const body = span.step === "step";
  const failed = detail?.attempts.filter((a) => a.error) ?? [];
  const one = failed.length === 1 && detail?.error != null;
  return (
    <section aria-label={`Step ${nameOf(span)}`} className="min-w-0">
      <div className="sticky top-0 z-10 flex items-start gap-3 rounded-t-xl border-b border-line bg-panel px-4 py-3">
        <div className="min-w-0 flex-1">
          <h2 className="text-sm font-semibold wrap-anywhere">{nameOf(span)}</h2>
          <div className="mt-1 flex flex-wrap items-center gap-x-3 gap-y-1 text-xs text-soft">
            <StatusPill status={span.status} />
            {opWord(span.op) && <span>{opWord(span.op)}</span>}
            {took !== undefined && <span className="tabular">{lasted(took)}</span>}
            {span.tries.length > 1 && <span>{span.tries.length} tries</span>}
          </div>
        </div>
        <Button kind="quiet" size="icon" aria-label="Close the step" onClick={close} className="-mt-1 -mr-2">
          <X />
        </Button>
      </div>
      <div className="space-y-5 p-4">
        {(span.planned_at || span.started_at || span.ended_at || span.until || span.reason || span.waits_for != null || child) && (
          <Facts>
            {span.started_at && (
              <Fact name={span.waits_for ? "Since" : "Started"}>
                <Clock at={span.started_at} />
              </Fact>
            )}
            {waited > 0 && (
              <Fact name="Waited">
                <span className="tabular">{lasted(waited)}</span> in the queue
                {span.planned_at && <span className="text-faint"> since {clock(span.planned_at)}</span>}
              </Fact>
            )}
            {span.ended_at && (
              <Fact name="Ended">
                <Clock at={span.ended_at} />
              </Fact>
            )}
            {span.until && !span.ended_at && (
              <Fact name="Until">
                <Clock at={span.until} /> <span className="tabular">({until(span.until, now)})</span>
              </Fact>
            )}
            <WaitsFor value={span.waits_for} />
            {span.timed_out && <Fact name="Result">Nothing came in time</Fact>}
            {span.reason && <Fact name="Reason">{shown(span.reason)}</Fact>}
            {child && (
              <Fact name="Run">
                <Link to="/runs/$run" params={{ run: child.run.run_id }} className="text-accent hover:underline">
                  {shown(child.run.function)}
                </Link>{" "}
                <span className="text-faint">{child.run.status.toLowerCase()}</span>
              </Fact>
            )}
            {span.given && <Fact name="Result">Given by whoever started this run; the step did not run</Fact>}
            {span.copied && <Fact name="Result">Copied from the run that this one repeats</Fact>}
          </Facts>
        )}
        {step.isPending && !detail ? (
          <Bones rows={3} className="" />
        ) : step.isError && !detail ? (
          <Failed error={step.error} retry={() => void step.refetch()} />
        ) : detail ? (
          <>
            {detail.error != null && <ErrorView failure={failureOf(detail.error)!} />}
            {detail.output !== undefined && (
              <div>
                <h3 className="mb-1.5 text-xs font-semibold text-faint">
                  Result <span className="font-normal">{bytes(span.output_bytes)}</span>
                </h3>
                <JsonView value={detail.output} label="result" />
              </div>
            )}
            {one && failed[0]?.exchange && <Exchange run={run.run_id} n={failed[0].seq} />}
            {failed.length > 0 && !one && (
              <div>
                <h3 className="mb-1.5 text-xs font-semibold text-faint">Failed tries</h3>
                <ol className="space-y-2">
                  {failed.map((a) => (
                    <Try key={a.seq} run={run.run_id} attempt={a} last={a === failed.at(-1) && detail.error == null} />
                  ))}
                </ol>
              </div>
            )}
            {!body && (run.ended_at !== null || detail.status === "completed") && (
              <div className="flex flex-wrap gap-2">
                <Act onClick={() => setAsking("rerun")}>
                  <Play /> Rerun from here
                </Act>
                {span.op !== "Sleep" && (
                  <Act onClick={() => setAsking("result")}>
                    <PencilLine /> Edit the result and rerun
                  </Act>
                )}
              </div>
            )}
          </>
        ) : null}
        {notes.length > 0 && (
          <div>
            <h3 className="mb-1.5 text-xs font-semibold text-faint">Metadata</h3>
            <Notes notes={notes} />
          </div>
        )}
      </div>
      <Confirm
        open={asking === "rerun"}
        onOpenChange={(open) => setAsking(open ? "rerun" : undefined)}
        title={`Rerun from ${nameOf(span)}`}
        action="Start the run"
        onConfirm={async () => {
          const started = await rerun(run.run_id, { step: span.step });
          tell("A run has started", { run: started });
          await navigate({ to: "/runs/$run", params: { run: started } });
        }}
      >
        <p>A new run starts with the results of the steps that had ended before this one. This step and what follows run again.</p>
      </Confirm>
      {asking === "result" && (
        <Editor
          title={`The result of ${nameOf(span)}`}
          description="A new run starts in which this step has this result without being run. The steps that had ended before it keep theirs; what follows runs again."
          value={detail?.output === undefined ? null : detail.output}
          action="Start the run"
          onClose={() => setAsking(undefined)}
          onSubmit={async (output) => {
            const started = await rerun(run.run_id, { step: span.step, output });
            tell("A run has started", { run: started });
            await navigate({ to: "/runs/$run", params: { run: started } });
          }}
        />
      )}
    </section>
  );
}

function Try({ run, attempt, last }: { run: string; attempt: Schemas["Attempt"]; last: boolean }) {
  const [open, setOpen] = useState(last);
  const failure = failureOf(attempt.error);
  return (
    <li className="rounded-lg border border-line">
      <button
        type="button"
        aria-expanded={open}
        onClick={() => setOpen(!open)}
        className="flex w-full items-baseline gap-3 px-3 py-2 text-left text-sm hover:bg-sunken"
      >
        <span className="shrink-0 font-medium">Try {attempt.attempt}</span>
        <span className="min-w-0 flex-1 truncate text-bad">{shown(failure?.message ?? "")}</span>
        {attempt.ended_at && <Ago at={attempt.ended_at} className="text-xs text-faint" />}
      </button>
      {open && failure && (
        <div className="space-y-2 border-t border-line p-3">
          <ErrorView failure={failure} bare />
          {attempt.exchange && <Exchange run={run} n={attempt.seq} />}
          {attempt.next_at && (
            <p className="text-xs text-faint">
              The next try {Date.parse(attempt.next_at) > Date.now() ? "is" : "was"} due {clock(attempt.next_at)} {zone(attempt.next_at)}
            </p>
          )}
        </div>
      )}
    </li>
  );
}
