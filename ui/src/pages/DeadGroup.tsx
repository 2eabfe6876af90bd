import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { Play, Trash2 } from "lucide-react";
import { useState } from "react";
import { discardLetter, discardMany, retryLetter } from "@/api/actions";
import { groupQuery, lettersQuery } from "@/api/queries";
import { Act } from "@/components/Act";
import { Discard } from "@/components/Discard";
import { Ago, Card, Page, Tabs, useTitle } from "@/components/layout";
import { More } from "@/components/More";
import { RetryMany } from "@/components/RetryMany";
import { Bones, Empty, Failed, isMissing } from "@/components/states";
import { StatusPill } from "@/components/status";
import { Trends } from "@/components/Trend";
import { tell, tellError } from "@/components/ui/toast";
import { useRows } from "@/lib/rows";
import { many, shown } from "@/lib/text";
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
  const [discarding, setDiscarding] = useState<"all" | { run: string }>();
  const name = shown(group.data?.title ?? one?.title ?? "Dead letters");
  useRows();
  useTitle(name);
  if (isMissing(group.error)) return <Failed error={group.error} was={group.data !== undefined} whole />;
  const openOnes = state === "open" ? list.length : 0;
  return (
    <Page
      title={<span className="line-clamp-3">{name}</span>}
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
          <>
            <Act onClick={() => setDiscarding("all")}>
              <Trash2 /> Discard them all
            </Act>
            <Act kind="main" onClick={() => setAsking(true)}>
              <Play /> Retry them all
            </Act>
          </>
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
              <li key={l.run_id} className="flex flex-wrap items-center gap-x-2 pr-3 hover:bg-sunken">
                <Link
                  data-row
                  to="/runs/$run"
                  params={{ run: l.run_id }}
                  className="grid min-w-40 flex-1 grid-cols-[auto_minmax(0,1fr)_auto] items-baseline gap-x-3 px-4 py-2.5 text-sm"
                >
                  <StatusPill status={l.state} />
                  <span className="truncate text-soft">{shown(l.note || l.title)}</span>
                  <span className="flex gap-3 text-xs text-faint">
                    <span className="hidden sm:inline">{l.attempts === 1 ? "1 try" : `${l.attempts} tries`}</span>
                    <Ago at={l.failed_at} />
                  </span>
                </Link>
                {l.retry_of && (
                  <span className="order-last basis-full pb-2 pl-4 text-xs text-bad sm:order-none sm:basis-auto sm:pb-0 sm:pl-0">
                    failed again, a{" "}
                    <Link
                      to="/runs/$run"
                      params={{ run: l.retry_of }}
                      aria-label={`Run ${l.retry_of}, of which it was a retry`}
                      className="underline"
                    >
                      retry
                    </Link>
                  </span>
                )}
                {l.state === "open" && (
                  <Act size="small" aria-label={`Discard run ${l.run_id}`} title="Discard" onClick={() => setDiscarding({ run: l.run_id })}>
                    <Trash2 />
                  </Act>
                )}
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
      <Discard
        open={discarding !== undefined}
        onOpenChange={(open) => !open && setDiscarding(undefined)}
        title={discarding === "all" ? `Discard ${many(group.data?.open ?? openOnes, "dead letter")}` : "Discard a dead letter"}
        what={
          discarding === "all" ? "It closes the open ones of this group, and starts nothing." : "It closes this one, and starts nothing."
        }
        onConfirm={async (reason) => {
          if (discarding === "all") {
            await discardMany({ fingerprint }, reason);
            tell("They are being discarded", { description: "The progress stands above the list." });
          } else await discardLetter(discarding!.run, reason);
        }}
      />
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
