import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { SquareFunction } from "lucide-react";
import { useState } from "react";
import { appsQuery, controlsQuery, overviewQuery } from "@/api/queries";
import { Card, Page, useTitle } from "@/components/layout";
import { Spark } from "@/components/Spark";
import { Bones, Empty, Failed } from "@/components/states";
import { buttonStyle } from "@/components/ui/button";
import { inputStyle } from "@/components/ui/confirm";
import { cn } from "@/lib/cn";
import { knownFrom, sinceText, unknownOf } from "@/lib/known";
import { pausesOf } from "@/lib/paused";
import { useRows } from "@/lib/rows";
import { many, shown } from "@/lib/text";

/** What a function is called here. */
const nameOf = (f: { name: string; slug: string }) => f.name || f.slug;

export function Functions() {
  useTitle("Functions");
  useRows();
  const apps = useQuery(appsQuery);
  const controls = useQuery(controlsQuery);
  const overview = useQuery(overviewQuery);
  const [find, setFind] = useState("");
  const recent = new Map(overview.data?.functions.map((f) => [f.slug, f]));
  const from = overview.data && knownFrom(overview.data);
  const list = (apps.data ?? [])
    .map((app) => ({
      ...app,
      functions: app.functions
        .filter((f) => `${f.slug} ${f.name}`.toLowerCase().includes(find.toLowerCase()))
        .sort((a, b) => nameOf(a).localeCompare(nameOf(b))),
    }))
    .filter((app) => app.functions.length > 0);
  return (
    <Page
      title="Functions"
      sub={`What apps have told of, and how the last hour was${from === undefined ? "" : `, ${sinceText(from)}`}.`}
      aside={
        <div className="w-56">
          <input
            className={inputStyle}
            placeholder="Find…"
            aria-label="Find a function"
            data-search
            value={find}
            onChange={(e) => setFind(e.target.value)}
          />
        </div>
      }
    >
      {apps.isPending ? (
        <Bones />
      ) : apps.isError && !apps.data ? (
        <Failed error={apps.error} retry={() => void apps.refetch()} />
      ) : list.length === 0 ? (
        <Card>
          <Empty title={find ? "No function has that name" : "No app has told of a function"} icon={<SquareFunction />}>
            {!find && (
              <Link to="/apps" className={cn(buttonStyle({ kind: "main" }), "mt-3")}>
                Connect a first app
              </Link>
            )}
          </Empty>
        </Card>
      ) : (
        list.map((app) => (
          <Card
            key={app.id}
            title={shown(app.name)}
            aside={<span className="text-xs text-faint">{many(app.functions.length, "function")}</span>}
            bare
            className="mb-4 overflow-hidden"
          >
            <ul className="divide-y divide-line">
              {app.functions.map((f) => {
                const r = recent.get(f.slug);
                const paused = pausesOf(controls.data ?? [], f.slug, app.name);
                const held = paused.whole ?? paused.app;
                return (
                  <li key={f.slug}>
                    <Link
                      data-row
                      to="/functions/$slug"
                      params={{ slug: f.slug }}
                      className="grid grid-cols-[minmax(0,1fr)_auto] items-center gap-x-4 px-4 py-2.5 text-sm hover:bg-sunken sm:grid-cols-[minmax(0,1fr)_9rem_9rem]"
                    >
                      <span className="min-w-0">
                        <span className="flex items-center gap-2">
                          <span className="truncate font-medium">{shown(nameOf(f))}</span>
                          {(held || paused.values.length > 0) && (
                            <span className="rounded bg-warn-wash px-1.5 text-2xs font-medium text-warn">
                              {held ? "paused" : `paused for ${many(paused.values.length, "value")}`}
                            </span>
                          )}
                          {f.not_held.length > 0 && (
                            <span className="rounded bg-idle-wash px-1.5 text-2xs text-idle">some options not held</span>
                          )}
                        </span>
                        <span className="block truncate text-xs text-faint">
                          {f.triggers.map((t) => shown(t.cron ? `cron ${t.cron}` : (t.event ?? ""))).join(" · ")}
                        </span>
                      </span>
                      <span className="hidden sm:block">
                        {r && (
                          <Spark
                            values={r.started}
                            bad={r.failed}
                            unknown={unknownOf(overview.data!, r.started.length)}
                            label={`${r.hour.started} runs ${from === undefined ? "in the last hour" : sinceText(from)}`}
                          />
                        )}
                      </span>
                      <span className="tabular text-right text-xs text-soft">
                        {r ? (
                          <>
                            {many(r.hour.started, "run")}
                            {r.hour.failed > 0 && <span className="text-bad"> · {r.hour.failed} failed</span>}
                          </>
                        ) : (
                          <span className="text-faint">{from === undefined ? "quiet" : `none ${sinceText(from)}`}</span>
                        )}
                      </span>
                    </Link>
                  </li>
                );
              })}
            </ul>
          </Card>
        ))
      )}
    </Page>
  );
}
