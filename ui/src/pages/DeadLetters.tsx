import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { CircleCheck, Play, Trash2 } from "lucide-react";
import { useState } from "react";
import { discardMany, stopJob } from "@/api/actions";
import type { Schemas } from "@/api/client";
import { failedAgainQuery, groupsQuery, jobsQuery } from "@/api/queries";
import { Act } from "@/components/Act";
import { Discard } from "@/components/Discard";
import { Ago, Card, Page, Tabs, useTitle } from "@/components/layout";
import { More } from "@/components/More";
import { RetryMany } from "@/components/RetryMany";
import { Bones, Empty, Failed } from "@/components/states";
import { StatusPill } from "@/components/status";
import { Trend } from "@/components/Trend";
import { Confirm } from "@/components/ui/confirm";
import { tell } from "@/components/ui/toast";
import { cn } from "@/lib/cn";
import { useRows } from "@/lib/rows";
import { count, many, shown } from "@/lib/text";
import { deadRoute } from "@/router";

export function DeadLetters() {
  useTitle("Dead letters");
  useRows();
  const state = deadRoute.useSearch().state === "all" ? "all" : "open";
  const navigate = useNavigate();
  const groups = useInfiniteQuery(groupsQuery(state));
  const list = groups.data?.pages.flat() ?? [];
  const [asking, setAsking] = useState(false);
  const [discarding, setDiscarding] = useState<Schemas["GroupTrend"]>();
  const open = list.reduce((sum, g) => sum + g.open, 0);
  return (
    <Page
      title="Dead letters"
      sub="Runs that failed for good, together with those that failed alike."
      aside={
        <>
          <Tabs
            label="Which"
            value={state}
            onChange={(value) => void navigate({ to: "/dead-letters", search: value === "open" ? {} : { state: value } })}
            tabs={[
              { value: "open", label: "Open" },
              { value: "all", label: "All" },
            ]}
          />
          {open > 0 && (
            <Act onClick={() => setAsking(true)}>
              <Play /> Retry all
            </Act>
          )}
        </>
      }
    >
      <Jobs />
      <Card bare className="overflow-hidden">
        {groups.isPending ? (
          <Bones />
        ) : groups.isError && list.length === 0 ? (
          <Failed error={groups.error} retry={() => void groups.refetch()} />
        ) : list.length === 0 ? (
          <Empty title={state === "open" ? "No dead letters" : "There never was a dead letter"} icon={<CircleCheck />}>
            A run that is out of tries is kept here, to be read, mended and retried.
          </Empty>
        ) : (
          <ul className="divide-y divide-line">
            {list.map((g) => (
              <Group key={g.fingerprint} g={g} onDiscard={() => setDiscarding(g)} />
            ))}
          </ul>
        )}
        <More query={groups} />
      </Card>
      <RetryMany
        open={asking}
        onOpenChange={setAsking}
        which={{ all: true }}
        number={open}
        what={`all open dead letters${groups.hasNextPage ? ", also those that are not shown" : ""}`}
      />
      <Discard
        open={discarding !== undefined}
        onOpenChange={(open) => !open && setDiscarding(undefined)}
        title={`Discard ${many(discarding?.open ?? 0, "dead letter")}`}
        what="It closes the open ones of this group, and starts nothing."
        onConfirm={async (reason) => {
          await discardMany({ fingerprint: discarding!.fingerprint }, reason);
          tell("They are being discarded", { description: "The progress stands above the list." });
        }}
      />
    </Page>
  );
}

function Group({ g, onDiscard }: { g: Schemas["GroupTrend"]; onDiscard: () => void }) {
  return (
    <li className="flex items-center gap-1 pr-2 hover:bg-sunken">
      <Link
        data-row
        to="/dead-letters/$fingerprint"
        params={{ fingerprint: g.fingerprint }}
        className="grid min-w-0 flex-1 grid-cols-[minmax(0,1fr)_auto] gap-x-4 gap-y-0.5 py-3 pr-2 pl-4 text-sm sm:grid-cols-[minmax(0,1fr)_auto_auto]"
      >
        <span className="line-clamp-2 font-medium wrap-anywhere">{shown(g.title)}</span>
        <span className="row-span-2 hidden self-center sm:block">
          <Trend values={g.trend.hours} unit="hour" className="h-7 w-28" />
        </span>
        <span className={cn("tabular row-span-2 min-w-12 text-right text-lg font-semibold", g.open > 0 ? "text-bad" : "text-faint")}>
          {count(g.open)}
          <span className="block text-2xs font-normal text-faint">{g.open === 0 ? "none open" : "open"}</span>
        </span>
        <span className="flex min-w-0 flex-wrap gap-x-4 text-xs text-soft">
          <span className="min-w-0 font-medium wrap-anywhere">{shown(g.function)}</span>
          <span>{g.class.replaceAll("_", " ")}</span>
          <span>
            last <Ago at={g.last_failed_at} />
          </span>
          <span className="hidden sm:inline">
            first <Ago at={g.first_failed_at} />
          </span>
          {g.retried > 0 && <span>{count(g.retried)} retried</span>}
          {g.discarded > 0 && <span>{count(g.discarded)} discarded</span>}
        </span>
      </Link>
      {g.open > 0 && (
        <Act size="small" aria-label={`Discard the group ${shown(g.title)}`} title="Discard" onClick={onDiscard}>
          <Trash2 />
        </Act>
      )}
    </li>
  );
}

/** Bulk retries and discards: those at work, and the last that ended. */
export function Jobs() {
  const jobs = useQuery(jobsQuery);
  const [stopping, setStopping] = useState<string>();
  const list = (jobs.data ?? []).filter((job, i) => job.state === "running" || i < 3).slice(0, 5);
  if (list.length === 0) return null;
  return (
    <Card title="Bulk retries and discards" bare className="mb-4">
      <ul className="divide-y divide-line">
        {list.map((job) => (
          <Job key={job.id} job={job} onStop={() => setStopping(job.id)} />
        ))}
      </ul>
      <Confirm
        open={stopping !== undefined}
        onOpenChange={(open) => !open && setStopping(undefined)}
        title="Stop this job?"
        action="Stop it"
        danger
        onConfirm={() => stopJob(stopping!)}
      >
        <p>Runs that it has started go on, and what it has not reached stays open.</p>
      </Confirm>
    </Card>
  );
}

function Job({ job, onStop }: { job: Schemas["RetryJob"]; onStop: () => void }) {
  const [again, setAgain] = useState(false);
  const discards = job.kind === "discard";
  const parts = [
    { n: job.completed, tone: "bg-good", word: "completed" },
    { n: job.failed, tone: "bg-bad", word: "failed again" },
    { n: job.cancelled, tone: "bg-idle", word: "cancelled" },
    { n: job.running, tone: "bg-busy breathing", word: "at work" },
  ];
  const of = job.filter.fingerprint ? "one group" : (job.filter.function ?? "all");
  return (
    <li className="space-y-2 px-4 py-3 text-sm">
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
        <StatusPill status={job.state === "running" ? "Running" : job.state}>
          {job.state === "running" ? (job.waiting ? "looking at the first ones" : "running") : job.state}
        </StatusPill>
        <span className="font-medium">
          {discards ? `${many(job.discarded, "dead letter")} discarded` : `${many(job.started, "run")} started`}
        </span>
        <span className="min-w-0 text-soft wrap-anywhere">
          of {shown(of)}
          {discards ? `: ${shown(job.reason ?? "")}` : `, ${job.rate}`}
        </span>
        <Ago at={job.created_at} className="text-xs text-faint" />
        {job.state === "running" && (
          <Act size="small" kind="danger" className="ml-auto" onClick={onStop}>
            Stop
          </Act>
        )}
      </div>
      {!discards && (
        <div
          className="flex h-1.5 gap-px overflow-hidden rounded-full bg-idle-wash"
          role="img"
          aria-label={parts.map((p) => `${p.n} ${p.word}`).join(", ")}
        >
          {parts.map(
            (p) => p.n > 0 && <span key={p.word} className={p.tone} style={{ width: `${(100 * p.n) / Math.max(1, job.started)}%` }} />,
          )}
        </div>
      )}
      <p className="tabular flex flex-wrap gap-x-4 text-xs text-soft">
        {parts
          .filter((p) => p.n > 0)
          .map((p) =>
            p.word === "failed again" ? (
              <button
                key={p.word}
                type="button"
                className="text-accent hover:underline"
                aria-expanded={again}
                onClick={() => setAgain(!again)}
              >
                {count(p.n)} {p.word}
              </button>
            ) : (
              <span key={p.word}>
                {count(p.n)} {p.word}
              </span>
            ),
          )}
        {job.skipped > 0 && <span>{count(job.skipped)} could not be retried</span>}
        {job.why && <span className="text-bad">{shown(job.why)}</span>}
      </p>
      {again && <FailedAgain job={job} />}
    </li>
  );
}

function FailedAgain({ job }: { job: Schemas["RetryJob"] }) {
  const runs = useInfiniteQuery(failedAgainQuery(job.id, job.failed));
  const list = runs.data?.pages.flat() ?? [];
  if (runs.isError && list.length === 0) return <Failed error={runs.error} retry={() => void runs.refetch()} />;
  return (
    <>
      <ul aria-label="Runs that failed again" className="max-h-60 space-y-1 overflow-y-auto text-xs">
        {list.map((r) => (
          <li key={r.run_id} className="flex flex-wrap gap-x-3">
            <Link to="/runs/$run" params={{ run: r.run_id }} className="font-mono text-accent hover:underline">
              {r.run_id}
            </Link>
            <span className="text-faint">
              a retry of{" "}
              <Link to="/runs/$run" params={{ run: r.retry_of }} className="font-mono hover:underline">
                {r.retry_of}
              </Link>
            </span>
          </li>
        ))}
      </ul>
      <More query={runs} />
    </>
  );
}
