import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { CirclePause, Gauge, Play } from "lucide-react";
import { useState } from "react";
import { invoke, pause, setLimits } from "@/api/actions";
import { appsQuery, configQuery, controlsQuery, overviewQuery, runsQuery, schedulesQuery } from "@/api/queries";
import { Act, useLacks, useOnce } from "@/components/Act";
import { Editor } from "@/components/Editor";
import { JsonView } from "@/components/JsonView";
import { Ago, Card, Fact, Facts, Page, useTitle } from "@/components/layout";
import { letGo, PausedValues, PausedWhole } from "@/components/Paused";
import { RunRow } from "@/components/RunRow";
import { Bones, Empty, Failed } from "@/components/states";
import { Confirm, Field, inputStyle, useForgotten } from "@/components/ui/confirm";
import { tell } from "@/components/ui/toast";
import { Versions } from "@/components/Versions";
import { configured } from "@/lib/configured";
import { cronWords } from "@/lib/cron";
import { quoted } from "@/lib/filter";
import { useCommand } from "@/lib/keys";
import { knownFrom, sinceText } from "@/lib/known";
import { pausesOf } from "@/lib/paused";
import { useRows } from "@/lib/rows";
import { clock, count, shown } from "@/lib/text";
import { functionRoute } from "@/router";

/** How many functions the overview has at most. */
const mostCounted = 50;

function Configuration({ of: options }: { of: object }) {
  const { facts, rest } = configured(options);
  return (
    <>
      <Facts>
        {facts.map(({ name, text }) => (
          <Fact key={name} name={name}>
            {shown(text)}
          </Fact>
        ))}
      </Facts>
      {Object.keys(rest).length > 0 && (
        <div className="mt-3">
          <JsonView value={rest} label="other options" />
        </div>
      )}
    </>
  );
}

export function FunctionPage() {
  const { slug } = functionRoute.useParams();
  useTitle(shown(slug));
  useRows();
  const apps = useQuery(appsQuery);
  const app = apps.data?.find((a) => a.functions.some((f) => f.slug === slug));
  const f = app?.functions.find((g) => g.slug === slug);
  const id = app ? slug.replace(`${app.name}-`, "") : "";
  const config = useQuery({ ...configQuery(app?.name ?? "", id), enabled: app !== undefined });
  const controls = useQuery(controlsQuery);
  const overview = useQuery(overviewQuery);
  const schedules = useQuery(schedulesQuery);
  const runs = useInfiniteQuery(runsQuery({ function: [slug] }));
  const [asking, setAsking] = useState<"pause" | "invoke" | "limits">();
  const [reason, setReason] = useState("");
  const [hold, setHold] = useState<"starts" | "all">("starts");
  useForgotten(asking === "pause", () => {
    setReason("");
    setHold("starts");
  });
  const navigate = useNavigate();
  const limits = controls.data?.find((c) => c.name === slug && !c.key && c.limits != null);
  const paused = pausesOf(controls.data ?? [], slug, app?.name);
  const recent = overview.data?.functions.find((r) => r.slug === slug);
  const from = overview.data && knownFrom(overview.data);
  const ticks = schedules.data?.filter((s) => s.function === slug) ?? [];
  const rows = runs.data?.pages[0]?.runs.slice(0, 15) ?? [];
  const why = useLacks();
  const [, once] = useOnce();
  useCommand(
    f
      ? [
          { id: "invoke", label: "Invoke this function", group: "This page", keys: "i", off: why, run: () => setAsking("invoke") },
          {
            id: "pause",
            label: paused.whole ? "Resume this function" : "Pause this function",
            group: "This page",
            keys: "p",
            off: why,
            run: () => (paused.whole ? void once(() => letGo(slug)) : setAsking("pause")),
          },
        ]
      : [],
  );
  if (apps.isPending) return <Bones className="mx-auto max-w-6xl p-8" />;
  if (apps.isError && !apps.data) return <Failed error={apps.error} retry={() => void apps.refetch()} whole />;
  return (
    <Page
      title={shown(f?.name || slug)}
      sub={
        <span className="flex flex-wrap gap-x-4">
          <code className="min-w-0 font-mono text-xs">{shown(slug)}</code>
          {app && <span className="min-w-0">{shown(app.name)}</span>}
          {f && <span>version {f.version}</span>}
        </span>
      }
      aside={
        f && (
          <>
            <Act onClick={() => setAsking("limits")}>
              <Gauge /> Limits
            </Act>
            {!paused.whole && (
              <Act onClick={() => setAsking("pause")}>
                <CirclePause /> Pause
              </Act>
            )}
            <Act kind="main" onClick={() => setAsking("invoke")}>
              <Play /> Invoke
            </Act>
          </>
        )
      }
    >
      {!f && (
        <p className="mb-4 rounded-lg border border-warn/30 bg-warn-wash px-4 py-2.5 text-sm text-warn">
          No app serves this function now. Its runs are kept; they go on when an app that has it syncs.
        </p>
      )}
      {paused.app && <PausedWhole control={paused.app}>Its app {shown(app?.name ?? "")} is paused</PausedWhole>}
      {paused.whole && <PausedWhole control={paused.whole}>Paused</PausedWhole>}
      {paused.values.length > 0 && <PausedValues controls={paused.values} />}
      {f && f.not_held.length > 0 && (
        <p className="mb-4 rounded-lg border border-line bg-panel px-4 py-2.5 text-sm text-soft wrap-anywhere">
          This version of Pawl does not hold these of its options: {f.not_held.map(shown).join(", ")}.
        </p>
      )}
      <div className="grid gap-4 lg:grid-cols-[minmax(0,2fr)_minmax(0,1fr)]">
        <Card
          title="Runs"
          bare
          className="overflow-hidden"
          aside={
            <Link to="/runs" search={{ q: `function:${quoted(slug)}` }} className="text-xs text-accent hover:underline">
              All of them
            </Link>
          }
        >
          {runs.isPending ? (
            <Bones />
          ) : rows.length === 0 ? (
            <Empty title="It has not run yet">Send an event that triggers it, or invoke it.</Empty>
          ) : (
            <div className="divide-y divide-line">
              {rows.map((run) => (
                <RunRow key={run.run_id} run={run} plain />
              ))}
            </div>
          )}
        </Card>
        <div className="space-y-4">
          <Card title={from === undefined ? "Last hour" : `Last hour, ${sinceText(from)}`}>
            {overview.isPending ? (
              <Bones rows={2} />
            ) : recent ? (
              <Facts>
                <Fact name="Started">{count(recent.hour.started)}</Fact>
                <Fact name="Completed">{count(recent.hour.completed)}</Fact>
                <Fact name="Failed">
                  <span className={recent.hour.failed ? "font-medium text-bad" : ""}>{count(recent.hour.failed)}</span>
                </Fact>
                <Fact name="Tries again">{count(recent.hour.retried)}</Fact>
              </Facts>
            ) : (
              <p className="text-sm text-soft">
                {!overview.data || overview.data.functions.length >= mostCounted
                  ? "Not known: it is not among the 50 functions that ran or failed most."
                  : from === undefined
                    ? "Nothing happened."
                    : `Nothing happened ${sinceText(from)}. Of what was before, nothing is known.`}
              </p>
            )}
          </Card>
          {f && (
            <Card title="Starts on">
              <ul className="space-y-2.5 text-sm">
                {f.triggers.map((t) => (
                  <li key={JSON.stringify(t)}>
                    {t.cron ? (
                      <>
                        <code className="font-mono text-xs">{shown(t.cron)}</code>
                        <span className="block text-xs text-soft">{cronWords(t.cron)}</span>
                      </>
                    ) : (
                      <>
                        <Link to="/events" search={{ name: t.event }} className="break-all text-accent hover:underline">
                          {shown(t.event ?? "")}
                        </Link>
                        {t.expression && <code className="block font-mono text-xs break-all text-soft">{shown(t.expression)}</code>}
                      </>
                    )}
                  </li>
                ))}
              </ul>
              {f.idempotency_key !== "none" && (
                <p className="mt-3 text-xs text-soft">
                  {f.idempotency_key === "required"
                    ? "A start without an idempotency key is refused."
                    : "A start without an idempotency key gets one from its event's name and data, for 24 hours."}
                </p>
              )}
              {ticks.length > 0 && (
                <>
                  <h3 className="mt-4 mb-1.5 text-xs font-semibold text-faint">Next ticks</h3>
                  <ol className="tabular space-y-1 text-xs text-soft">
                    {ticks
                      .flatMap((s) => s.next)
                      .sort()
                      .slice(0, 6)
                      .map((at) => (
                        <li key={at}>
                          {clock(at).slice(0, 19)} <span className="text-faint">({<Ago at={at} />})</span>
                        </li>
                      ))}
                  </ol>
                </>
              )}
            </Card>
          )}
          {f && <Versions slug={slug} version={f.version} />}
          {config.data && (
            <Card title="Configuration">
              <Configuration of={config.data.configuration} />
              {limits && (
                <>
                  <h3 className="mt-4 mb-1.5 text-xs font-semibold wrap-anywhere text-warn">In place of it, set by {shown(limits.by)}</h3>
                  <JsonView value={limits.limits} label="limits" />
                </>
              )}
            </Card>
          )}
        </div>
      </div>
      <Confirm
        open={asking === "pause"}
        onOpenChange={(open) => setAsking(open ? "pause" : undefined)}
        title={`Pause ${shown(slug)}`}
        action="Pause"
        onConfirm={async () => {
          await pause(slug, hold, reason);
          tell("It is paused", { description: "New runs are kept and wait." });
        }}
      >
        <fieldset className="space-y-2">
          <legend className="sr-only">What is held back</legend>
          {(["starts", "all"] as const).map((value) => (
            <label key={value} className="flex items-start gap-2">
              <input type="radio" name="hold" className="mt-1" checked={hold === value} onChange={() => setHold(value)} />
              <span>
                <span className="font-medium text-ink">{value === "starts" ? "Nothing begins" : "No request is made at all"}</span>
                <span className="block text-xs">
                  {value === "starts"
                    ? "Runs that have begun go on to their end."
                    : "Runs that have begun stop after the step that they are in."}
                </span>
              </span>
            </label>
          ))}
        </fieldset>
        <Field label="Why" hint="shown to whoever wonders">
          <input className={inputStyle} value={reason} onChange={(e) => setReason(e.target.value)} />
        </Field>
      </Confirm>
      {asking === "invoke" && app && (
        <Editor
          title={`Invoke ${shown(slug)}`}
          description="Starts a run, whatever its triggers. This is the data of its event."
          value={{}}
          action="Start the run"
          events={f?.triggers.map((t) => t.event).filter((e) => e !== undefined)}
          onClose={() => setAsking(undefined)}
          onSubmit={async (value) => {
            const run = await invoke(app.name, id, value);
            tell("A run has started", { run });
            await navigate({ to: "/runs/$run", params: { run } });
          }}
        />
      )}
      {asking === "limits" && (
        <Editor
          title="Limits"
          description='Concurrency, throttle, priority and idempotencyKey (none, required or derived) in place of those of the app, at once and over restarts, such as {"concurrency": 5}. null gives it its own again.'
          value={limits?.limits ?? { concurrency: 5 }}
          action="Set the limits"
          onClose={() => setAsking(undefined)}
          onSubmit={async (value) => {
            await setLimits(slug, value, "");
            tell(value === null ? "The app's own limits hold again" : "The limits hold");
          }}
        />
      )}
    </Page>
  );
}
