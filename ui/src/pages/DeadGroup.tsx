import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { Play } from "lucide-react";
import { useState } from "react";
import { retryLetter } from "@/api/actions";
import { groupQuery, lettersQuery } from "@/api/queries";
import { Act } from "@/components/Act";
import { Ago, Card, Page, Tabs, useTitle } from "@/components/layout";
import { More } from "@/components/More";
import { RetryMany } from "@/components/RetryMany";
import { Bones, Empty, Failed } from "@/components/states";
import { StatusPill } from "@/components/status";
import { Trends } from "@/components/Trend";
import { tell, tellError } from "@/components/ui/toast";
import { useRows } from "@/lib/rows";
import { shown } from "@/lib/text";
import { groupRoute } from "@/router";
import { Jobs } from "./DeadLetters";

type State = "open" | "retried" | "discarded" | "all";

export function DeadGroup() {
  const { fingerprint } = groupRoute.useParams();
  const state = (groupRoute.useSearch().state || "open") as State;
  const navigate = useNavigate();
  const letters = useInfiniteQuery(lettersQuery({ fingerprint, state }));
  const all = useInfiniteQuery(lettersQuery({ fingerprint, state: "all" }));
  const group = useQuery(groupQuery(fingerprint));
  const list = letters.data?.pages.flat() ?? [];
  const one = all.data?.pages[0]?.[0];
  const [asking, setAsking] = useState(false);
  useRows();
  useTitle(one ? shown(one.title) : "Dead letters");
  const openOnes = state === "open" ? list.length : 0;
  return (
    <Page
      title={one ? <span className="line-clamp-3">{shown(one.title)}</span> : "Dead letters"}
      sub={
        one && (
          <span className="flex flex-wrap gap-x-4">
            <Link to="/functions/$slug" params={{ slug: one.function }} className="min-w-0 text-accent hover:underline">
              {shown(one.function)}
            </Link>
            <span>{one.class.replaceAll("_", " ")}</span>
            {one.step && <span className="min-w-0">in step {shown(one.step)}</span>}
            <code className="font-mono text-xs text-faint">{fingerprint}</code>
          </span>
        )
      }
      aside={
        openOnes > 0 && (
          <Act kind="main" onClick={() => setAsking(true)}>
            <Play /> Retry them all
          </Act>
        )
      }
    >
      {group.data && (
        <Card title="Trend" className="mb-4">
          <Trends trend={group.data.trend} />
        </Card>
      )}
      <Jobs />
      <Card
        bare
        title="Runs"
        aside={
          <Tabs
            label="Which"
            value={state}
            onChange={(value) =>
              void navigate({ to: "/dead-letters/$fingerprint", params: { fingerprint }, search: value === "open" ? {} : { state: value } })
            }
            tabs={(["open", "retried", "discarded", "all"] as State[]).map((value) => ({
              value,
              label: value[0]!.toUpperCase() + value.slice(1),
            }))}
          />
        }
      >
        {letters.isPending ? (
          <Bones />
        ) : letters.isError && list.length === 0 ? (
          <Failed error={letters.error} retry={() => void letters.refetch()} />
        ) : list.length === 0 ? (
          <Empty title={state === "all" ? "There is no such group" : `None of them is ${state}`} />
        ) : (
          <ul className="divide-y divide-line">
            {list.map((l) => (
              <li key={l.run_id} className="flex items-center gap-3 pr-3 hover:bg-sunken">
                <Link
                  data-row
                  to="/runs/$run"
                  params={{ run: l.run_id }}
                  className="grid min-w-0 flex-1 grid-cols-[auto_minmax(0,1fr)_auto] items-baseline gap-x-3 px-4 py-2.5 text-sm"
                >
                  <StatusPill status={l.state} />
                  <span className="truncate text-soft">{shown(l.note || l.title)}</span>
                  <span className="flex gap-3 text-xs text-faint">
                    <span className="hidden sm:inline">{l.attempts === 1 ? "1 try" : `${l.attempts} tries`}</span>
                    <Ago at={l.failed_at} />
                  </span>
                </Link>
                {l.state === "open" && (
                  <Act
                    size="small"
                    aria-label={`Retry run ${l.run_id}`}
                    onClick={async () => {
                      try {
                        tell("It is tried again", { run: await retryLetter(l.run_id) });
                      } catch (error) {
                        tellError("It could not be retried", error);
                      }
                    }}
                  >
                    Retry
                  </Act>
                )}
              </li>
            ))}
          </ul>
        )}
        <More query={letters} />
      </Card>
      <RetryMany
        open={asking}
        onOpenChange={setAsking}
        which={{ fingerprint }}
        number={openOnes}
        what={letters.hasNextPage ? "the open ones of this group, also those that are not shown" : "the open ones of this group"}
      />
    </Page>
  );
}
