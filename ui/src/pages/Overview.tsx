import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { CircleCheck, CirclePause, PlugZap, ServerCrash, Skull, StopCircle } from "lucide-react";
import { useMemo } from "react";
import type { Schemas } from "@/api/client";
import { appsQuery, overviewQuery } from "@/api/queries";
import { Ago, Card, Page, useTitle } from "@/components/layout";
import { part } from "@/components/part";
import { Spark } from "@/components/Spark";
import { Bones, Empty, Failed } from "@/components/states";
import { cn } from "@/lib/cn";
import { knownFrom, sinceText, unknownOf } from "@/lib/known";
import { useRows } from "@/lib/rows";
import { counts, times as lengths } from "@/lib/scale";
import { count, lasted, many, shown } from "@/lib/text";

type Overview_ = Schemas["Overview"];

// Drawing is half the size of this page: the numbers come first.
const Chart = part(() => import("@/components/Chart").then((m) => m.default), {
  waiting: <div role="status" aria-label="Loading" className="min-h-38" />,
});

const Connect = part(() => import("@/components/Connect").then((m) => m.Connect), { waiting: <Bones rows={6} /> });

export function Overview() {
  useTitle("");
  useRows();
  const overview = useQuery(overviewQuery);
  const apps = useQuery(appsQuery);
  if (overview.isPending || apps.isPending) return <Bones rows={10} className="mx-auto max-w-6xl p-8" />;
  if (overview.isError && !overview.data) return <Failed error={overview.error} retry={() => void overview.refetch()} whole />;
  const o = overview.data;
  const from = knownFrom(o);
  const fresh = apps.data?.length === 0 && o.hour.events === 0 && o.failures.length === 0;
  if (fresh)
    return (
      <Page
        narrow
        title="Welcome to Pawl"
        sub="It runs functions that survive crashes: each step's result is remembered, and what fails is tried again. Connect an app, and its first run shows here."
      >
        <Connect />
      </Page>
    );
  return (
    <Page
      title="Overview"
      sub={
        from === undefined
          ? "The last hour. It moves by itself."
          : `The last hour, ${sinceText(from)}: of what was before, nothing is known. It moves by itself.`
      }
      wide
      className="2xl:flex 2xl:min-h-dvh 2xl:flex-col"
    >
      <Numbers o={o} />
      <div className="mt-4 grid flex-1 gap-4 lg:grid-cols-2 2xl:grid-cols-6 2xl:grid-rows-[auto_1fr] 2xl:*:col-span-2">
        <Attention list={o.attention} />
        <Card
          title="Newest failures"
          bare
          aside={
            <Link to="/runs" search={{ q: "status:failed" }} className="text-xs text-accent hover:underline">
              All failed runs
            </Link>
          }
        >
          {o.failures.length === 0 ? (
            <Empty title="No run has failed" icon={<CircleCheck />} className="py-10" />
          ) : (
            <ul className="divide-y divide-line" data-testid="failures">
              {o.failures.map((run) => (
                <li key={run.run_id}>
                  <Failure run={run} />
                </li>
              ))}
            </ul>
          )}
        </Card>
        <Functions o={o} />
        <Throughput o={o} />
        <Latency o={o} />
      </div>
    </Page>
  );
}

function Failure({ run }: { run: Schemas["Row"] }) {
  return (
    <Link data-row to="/runs/$run" params={{ run: run.run_id }} className="block px-4 py-2 hover:bg-sunken">
      <span className="flex items-baseline gap-3 text-sm">
        <span className="min-w-0 flex-1 truncate font-medium">{shown(run.function)}</span>
        <Ago at={run.ended_at ?? run.queued_at} className="text-xs text-faint" />
      </span>
      <span className="block truncate text-sm text-bad">{shown(run.problem ?? "")}</span>
    </Link>
  );
}

function Numbers({ o }: { o: Overview_ }) {
  const ended = o.hour.completed + o.hour.failed;
  const from = knownFrom(o);
  // Of a few seconds, nothing is no news.
  const sum = (n: number) => (n === 0 && from !== undefined && Date.parse(o.end) - from < 60_000 ? "–" : count(n));
  const numbers: { name: string; value: string; more: string; bad?: boolean; q?: string; now?: boolean }[] = [
    { name: "Runs started", value: sum(o.hour.started), more: `${many(o.hour.events, "event")} received`, q: "after:1h" },
    {
      name: "Completed",
      value: sum(o.hour.completed),
      more: ended
        ? `${((100 * o.hour.completed) / ended).toFixed(ended === o.hour.completed ? 0 : 1)} % of those that ended`
        : "none has ended",
      q: "status:completed after:1h",
    },
    {
      name: "Failed",
      value: sum(o.hour.failed),
      more: `${many(o.hour.retried, "try", "tries")} made again`,
      bad: o.hour.failed > 0,
      q: "status:failed after:1h",
    },
    {
      name: "Typical run",
      value: o.run.p50_ms ? lasted(o.run.p50_ms) : "–",
      more: o.run.p95_ms ? `95 % within ${lasted(o.run.p95_ms)}` : "none has ended",
    },
    {
      name: "Wait to begin",
      value: o.wait.p50_ms ? lasted(o.wait.p50_ms) : "–",
      more: o.wait.p95_ms ? `95 % within ${lasted(o.wait.p95_ms)}` : "none has begun",
    },
    { name: "Backlog", value: count(o.waiting), more: `${many(o.in_work, "request")} at work`, q: "status:queued", now: true },
  ];
  return (
    <dl className="grid grid-cols-2 gap-px overflow-hidden rounded-xl border border-line bg-line sm:grid-cols-3 xl:grid-cols-6">
      {numbers.map((n) => (
        <div key={n.name} className="relative bg-panel px-4 py-3">
          <dt className="text-xs text-soft">
            {n.q ? (
              <Link to="/runs" search={{ q: n.q }} className="after:absolute after:inset-0 hover:text-accent">
                {n.name}
              </Link>
            ) : (
              n.name
            )}
            {from !== undefined && !n.now && <span className="text-faint"> {sinceText(from)}</span>}
          </dt>
          <dd className={cn("tabular mt-1 text-2xl font-semibold tracking-tight min-[120rem]:text-4xl", n.bad && "text-bad")}>{n.value}</dd>
          <dd className="tabular mt-0.5 truncate text-xs text-faint">{n.more}</dd>
        </div>
      ))}
    </dl>
  );
}

const icons: Record<string, { icon: React.ReactNode; tone: string }> = {
  dead: { icon: <Skull />, tone: "text-bad" },
  circuit: { icon: <PlugZap />, tone: "text-warn" },
  app: { icon: <PlugZap />, tone: "text-warn" },
  paused: { icon: <CirclePause />, tone: "text-warn" },
  job: { icon: <StopCircle />, tone: "text-bad" },
  store: { icon: <ServerCrash />, tone: "text-bad" },
};

function Attention({ list }: { list: Schemas["Attention"][] }) {
  return (
    <Card title="Needs a person" bare>
      {list.length === 0 ? (
        <Empty title="All is well" icon={<CircleCheck />} className="py-10">
          Dead letters, apps that do not answer and functions that are paused would stand here.
        </Empty>
      ) : (
        <ul className="divide-y divide-line">
          {list.map((a) => {
            const look = icons[a.kind];
            const inner = (
              <>
                <span className={cn("mt-0.5 [&_svg]:size-4", look?.tone)}>{look?.icon}</span>
                <span className="min-w-0 flex-1">
                  <span className="line-clamp-2 break-words">{shown(a.title)}</span>
                  {a.text && <span className="block truncate text-xs text-faint">{shown(a.text)}</span>}
                </span>
                {a.count ? <span className="tabular text-sm font-semibold text-bad">{count(a.count)}</span> : null}
                {a.at && <Ago at={a.at} className="mt-0.5 w-14 text-right text-xs text-faint" />}
              </>
            );
            const style = "flex items-start gap-3 px-4 py-2.5 text-sm hover:bg-sunken";
            return (
              <li key={JSON.stringify([a.kind, a.name, a.key, a.value, a.at])}>
                {a.kind === "dead" ? (
                  <Link to="/dead-letters/$fingerprint" params={{ fingerprint: a.name }} className={style}>
                    {inner}
                  </Link>
                ) : a.kind === "job" ? (
                  <Link to="/dead-letters" className={style}>
                    {inner}
                  </Link>
                ) : a.kind === "paused" && !a.name.startsWith("app/") ? (
                  <Link to="/functions/$slug" params={{ slug: a.name }} className={style}>
                    {inner}
                  </Link>
                ) : a.kind === "store" ? (
                  <div className={style}>{inner}</div>
                ) : (
                  <Link to="/apps" className={style}>
                    {inner}
                  </Link>
                )}
              </li>
            );
          })}
        </ul>
      )}
    </Card>
  );
}

/** Sums of six buckets: a minute, or six times what one is. */
function byMinute(values: number[], size: number): number[] {
  const out: number[] = [];
  for (let i = 0; i < values.length; i += size) out.push(values.slice(i, i + size).reduce((a, b) => a + b, 0));
  return out;
}

/** The minutes of the charts, and what is not known of them. */
function useMinutes(o: Overview_) {
  return useMemo(() => {
    const end = Date.parse(o.end) / 1000;
    const size = Math.round(60 / o.bucket_seconds);
    const n = Math.ceil(o.buckets.started.length / size);
    const from = knownFrom(o);
    const gone = unknownOf(o, n);
    return {
      times: Array.from({ length: n }, (_, i) => end - (n - 1 - i) * 60),
      size,
      unknown: from === undefined ? undefined : from / 1000,
      known: (values: number[]) => values.map((v, i) => (i < gone ? null : v)),
      when: from === undefined ? "of the last hour" : sinceText(from),
    };
  }, [o]);
}

// The chart is as high as its card.
const charted = "flex flex-col 2xl:col-span-3! [&>div:last-child]:flex-1";

function Throughput({ o }: { o: Overview_ }) {
  const { times, size, unknown, known, when } = useMinutes(o);
  const series = useMemo(
    () => [
      { label: "Started", color: "--busy", values: known(byMinute(o.buckets.started, size)), fill: true },
      { label: "Completed", color: "--good", values: known(byMinute(o.buckets.completed, size)) },
      { label: "Failed", color: "--bad", values: known(byMinute(o.buckets.failed, size)), fill: true },
    ],
    [o, size, known],
  );
  return (
    <Card title="Runs by minute" aside={<Legend series={series} />} className={charted}>
      <Chart
        times={times}
        series={series}
        label={`Runs ${when}: ${o.hour.started} started, ${o.hour.completed} completed, ${o.hour.failed} failed`}
        scale={counts}
        unknown={unknown}
      />
    </Card>
  );
}

function Latency({ o }: { o: Overview_ }) {
  const { times, unknown, when } = useMinutes(o);
  const series = useMemo(
    () => [
      { label: "Run", color: "--accent", values: o.run_p95_ms.map((v) => v || null), dots: true },
      { label: "Wait to begin", color: "--warn", values: o.wait_p95_ms.map((v) => v || null), dots: true },
    ],
    [o],
  );
  return (
    <Card title="95 % were within" aside={<Legend series={series} />} className={charted}>
      <Chart
        times={times}
        series={series}
        label={
          o.run.p95_ms || o.wait.p95_ms
            ? `95 % of the runs ${when} took up to ${lasted(o.run.p95_ms)}, and waited up to ${lasted(o.wait.p95_ms)} to begin`
            : `No run began or ended ${when}`
        }
        scale={lengths}
        unknown={unknown}
      />
    </Card>
  );
}

function Legend({ series }: { series: { label: string; color: string }[] }) {
  return (
    <ul className="flex flex-wrap gap-x-3 text-xs text-soft" aria-hidden="true">
      {series.map((s) => (
        <li key={s.label} className="flex items-center gap-1.5">
          <span className="h-0.5 w-3 rounded" style={{ background: `var(${s.color})` }} />
          {s.label}
        </li>
      ))}
    </ul>
  );
}

function Functions({ o }: { o: Overview_ }) {
  const from = knownFrom(o);
  return (
    <Card title="Functions" bare className="lg:col-span-2">
      {o.functions.length === 0 ? (
        <Empty title={`No function ran ${from === undefined ? "in the last hour" : sinceText(from)}`} className="py-10" />
      ) : (
        <table className="w-full text-sm">
          <thead className="text-left text-xs text-faint">
            <tr>
              <th className="px-4 py-2 font-normal">Function</th>
              <th className="hidden px-2 py-2 font-normal sm:table-cell">By minute</th>
              <th className="px-2 py-2 text-right font-normal">Started</th>
              <th className="px-4 py-2 text-right font-normal">Failed</th>
            </tr>
          </thead>
          <tbody className="divide-y divide-line border-t border-line">
            {o.functions.slice(0, 12).map((f) => (
              <tr key={f.slug} className="hover:bg-sunken">
                <td className="max-w-0 px-4 py-1.5">
                  <Link to="/functions/$slug" params={{ slug: f.slug }} className="block truncate font-medium hover:text-accent">
                    {shown(f.slug)}
                  </Link>
                </td>
                <td className="hidden w-36 px-2 py-1.5 sm:table-cell">
                  <Spark
                    values={f.started}
                    bad={f.failed}
                    unknown={unknownOf(o, f.started.length)}
                    label={`${f.hour.started} runs ${from === undefined ? "in the last hour" : sinceText(from)}`}
                  />
                </td>
                <td className="tabular w-20 px-2 py-1.5 text-right">{count(f.hour.started)}</td>
                <td className={cn("tabular w-20 px-4 py-1.5 text-right", f.hour.failed > 0 ? "font-medium text-bad" : "text-faint")}>
                  {count(f.hour.failed)}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Card>
  );
}
