import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { CalendarClock, Plus, Trash2 } from "lucide-react";
import { useState } from "react";
import { addSchedule, removeSchedule } from "@/api/actions";
import { appsQuery, schedulesQuery } from "@/api/queries";
import { Act } from "@/components/Act";
import { Ago, Card, Page, useTitle } from "@/components/layout";
import { Bones, Empty, Failed } from "@/components/states";
import { Confirm, Field, inputStyle } from "@/components/ui/confirm";
import { tell } from "@/components/ui/toast";
import { cronWords } from "@/lib/cron";
import { useRows } from "@/lib/rows";
import { clock, shown } from "@/lib/text";

export function Schedules() {
  useTitle("Schedules");
  useRows();
  const schedules = useQuery(schedulesQuery);
  const apps = useQuery(appsQuery);
  const [adding, setAdding] = useState(false);
  const [removing, setRemoving] = useState<string>();
  const [fn, setFn] = useState("");
  const [cron, setCron] = useState("0 9 * * *");
  const functions = apps.data?.flatMap((a) => a.functions.map((f) => f.slug)) ?? [];
  const list = [...(schedules.data ?? [])].sort((a, b) => (a.next[0] ?? "9").localeCompare(b.next[0] ?? "9"));
  return (
    <Page
      title="Schedules"
      sub="Crons of functions, and those that people made. The one that ticks next comes first."
      aside={
        <Act disabled={functions.length === 0} onClick={() => setAdding(true)}>
          <Plus /> Add a schedule
        </Act>
      }
    >
      <Card bare className="overflow-hidden">
        {schedules.isPending ? (
          <Bones />
        ) : schedules.isError && !schedules.data ? (
          <Failed error={schedules.error} retry={() => void schedules.refetch()} />
        ) : list.length === 0 ? (
          <Empty title="Nothing is scheduled" icon={<CalendarClock />}>
            A function whose trigger is a cron has its schedule here.
          </Empty>
        ) : (
          <ul className="divide-y divide-line">
            {list.map((s) => (
              <li
                key={s.id}
                className="grid grid-cols-[minmax(0,1fr)_auto] items-center gap-x-4 gap-y-1 px-4 py-2.5 text-sm sm:grid-cols-[minmax(0,1fr)_minmax(0,1fr)_11rem_2rem]"
              >
                <span className="min-w-0">
                  <Link
                    data-row
                    to="/functions/$slug"
                    params={{ slug: s.function }}
                    className="block truncate font-medium hover:text-accent"
                  >
                    {shown(s.function)}
                  </Link>
                  <span className="block truncate text-xs text-faint">
                    {s.source === "api" ? `made by a person: ${shown(s.id)}` : "of the function"}
                  </span>
                </span>
                <span className="order-last col-span-2 min-w-0 sm:order-none sm:col-span-1">
                  <code className="font-mono text-xs">{shown(s.cron)}</code>
                  <span className="block truncate text-xs text-soft">
                    {cronWords(s.cron)}
                    {s.overlap !== "allow" && ` · overlap: ${s.overlap}`}
                  </span>
                </span>
                <span className="text-right text-xs text-soft sm:text-left">
                  {s.next[0] ? (
                    <>
                      <Ago at={s.next[0]} />
                      <span className="tabular hidden text-faint sm:block">{clock(s.next[0]).slice(0, 19)}</span>
                    </>
                  ) : (
                    "never"
                  )}
                </span>
                {s.source === "api" ? (
                  <Act kind="quiet" size="icon" aria-label={`Remove the schedule ${shown(s.id)}`} onClick={() => setRemoving(s.id)}>
                    <Trash2 />
                  </Act>
                ) : (
                  <span />
                )}
              </li>
            ))}
          </ul>
        )}
      </Card>
      <Confirm
        open={adding}
        onOpenChange={setAdding}
        title="Add a schedule"
        action="Add"
        disabled={!fn || !cron.trim()}
        onConfirm={async () => {
          await addSchedule({ function: fn, cron: cron.trim() });
          tell("The schedule is made");
        }}
      >
        <Field label="Function">
          <select className={inputStyle} value={fn} onChange={(e) => setFn(e.target.value)}>
            <option value="">Choose one</option>
            {functions.map((slug) => (
              <option key={slug}>{slug}</option>
            ))}
          </select>
        </Field>
        <Field label="Cron" hint={cronWords(cron) || "such as TZ=Europe/Paris 0 12 * * 1-5"}>
          <input className={`${inputStyle} font-mono`} value={cron} onChange={(e) => setCron(e.target.value)} />
        </Field>
      </Confirm>
      <Confirm
        open={removing !== undefined}
        onOpenChange={(open) => !open && setRemoving(undefined)}
        title="Remove this schedule?"
        action="Remove"
        danger
        onConfirm={async () => {
          await removeSchedule(removing!);
          tell("The schedule is removed");
        }}
      >
        <p>It ticks no more. Runs that it has started go on.</p>
      </Confirm>
    </Page>
  );
}
