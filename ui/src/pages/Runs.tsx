import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { SearchX, Waypoints } from "lucide-react";
import { type RefObject, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { flushSync } from "react-dom";
import { appsQuery, runsQuery, shapeQuery } from "@/api/queries";
import { FilterBox } from "@/components/FilterBox";
import { useTitle } from "@/components/layout";
import { RunRow } from "@/components/RunRow";
import { Bones, Empty, Failed } from "@/components/states";
import { Glyph, inkOf, toneOf } from "@/components/status";
import { buttonStyle } from "@/components/ui/button";
import { statuses, toggle, without } from "@/lib/filter";
import { useCommand } from "@/lib/keys";
import { usePainted } from "@/lib/painted";
import { rowCommands } from "@/lib/rows";
import { rowHeight, wide } from "@/lib/runs";
import { many, shortClock } from "@/lib/text";
import { runsRoute } from "@/router";

export function Runs() {
  useTitle("Runs");
  const { q = "" } = runsRoute.useSearch();
  const navigate = useNavigate();
  const setFilter = (text: string) => void navigate({ to: "/runs", search: text ? { q: text } : {}, replace: true });
  // A time that is given as "2h" counts from when the filter was applied.
  const { search } = runsRoute.useLoaderData();
  const [typing, setTyping] = useState(false);
  const apps = useQuery({ ...appsQuery, enabled: typing });
  const runs = useInfiniteQuery(runsQuery(search));
  const rows = useMemo(() => runs.data?.pages.flatMap((page) => page.runs) ?? [], [runs.data]);
  const last = runs.data?.pages.at(-1);
  const known = useMemo(() => {
    const functions = apps.data?.flatMap((app) => app.functions) ?? [];
    const events = new Set(functions.flatMap((f) => f.triggers.map((t) => t.event).filter((e) => e !== undefined)));
    for (const row of rows.slice(0, 200)) if (row.event_name) events.add(row.event_name);
    return { functions: functions.map((f) => f.slug), apps: apps.data?.map((a) => a.name) ?? [], events: [...events] };
  }, [apps.data, rows]);
  // What may be in the data of the events that the filter is about.
  const about = useMemo(() => {
    if (search.event && !search.event.endsWith("*")) return [search.event];
    const chosen = apps.data?.flatMap((app) => app.functions).filter((f) => search.function?.includes(f.slug)) ?? [];
    const names = chosen.flatMap((f) => f.triggers.map((t) => t.event).filter((e) => e !== undefined));
    const start = search.event?.slice(0, -1) ?? "";
    return (names.length > 0 ? names : known.events.filter((e) => e.startsWith(start) && !e.startsWith("inngest/"))).slice(0, 5).sort();
  }, [search, apps.data, known.events]);
  const shape = useQuery({ ...shapeQuery(about), enabled: typing && about.length > 0 });
  const fields = shape.data?.fields ?? [];
  const chosenStatuses = search.status ?? [];
  return (
    <div className="mx-auto w-full max-w-[120rem]">
      <div className="sticky top-12 z-10 border-b border-line bg-ground px-4 pt-4 pb-3 sm:px-6 md:top-0 lg:px-8">
        <h1 className="sr-only">Runs</h1>
        <FilterBox
          value={q}
          onChange={setFilter}
          known={{ ...known, fields }}
          onFocus={() => setTyping(true)}
          placeholder="Filter: status, function, event, data, error, time…"
        />
        <div className="mt-2.5 flex items-center gap-1 overflow-x-auto" role="group" aria-label="Statuses">
          <button
            type="button"
            aria-pressed={chosenStatuses.length === 0}
            onClick={() => setFilter(without(q, "status"))}
            className="h-7 rounded-full px-3 text-xs text-soft hover:bg-sunken aria-pressed:bg-ink aria-pressed:font-medium aria-pressed:text-ground"
          >
            All
          </button>
          {statuses.map((status) => {
            const on = chosenStatuses.includes(status);
            return (
              <button
                key={status}
                type="button"
                aria-pressed={on}
                onClick={() => setFilter(toggle(q, "status", status.toLowerCase()))}
                className="flex h-7 items-center gap-1.5 rounded-full border border-transparent px-2.5 text-xs whitespace-nowrap text-soft hover:bg-sunken aria-pressed:border-line-strong aria-pressed:bg-panel aria-pressed:font-medium aria-pressed:text-ink"
              >
                <Glyph status={status} small className={inkOf[toneOf(status)]} />
                {status}
              </button>
            );
          })}
        </div>
      </div>
      {runs.isPending ? (
        <Bones rows={12} className="px-8 py-4" />
      ) : runs.isError && rows.length === 0 ? (
        <Failed error={runs.error} retry={() => void runs.refetch()} />
      ) : rows.length === 0 && !runs.hasNextPage ? (
        q ? (
          <Empty title="No run matches" icon={<SearchX />}>
            <p className="mb-4">
              Nothing was found for <code className="font-mono text-xs break-all">{q}</code>.
            </p>
            <button type="button" onClick={() => setFilter("")} className={buttonStyle()}>
              Show all runs
            </button>
          </Empty>
        ) : (
          <Empty title="Nothing has run yet" icon={<Waypoints />}>
            <p className="mb-4">A run begins when an event comes for which an app has a function, or when its cron ticks.</p>
            <Link to="/apps" className={buttonStyle({ kind: "main" })}>
              Connect a first app
            </Link>
          </Empty>
        )
      ) : (
        <List
          rows={rows}
          more={runs.hasNextPage}
          fetching={runs.isFetchingNextPage}
          fetchMore={() => void runs.fetchNextPage({ cancelRefetch: false })}
        />
      )}
      {last && rows.length > 0 && !runs.hasNextPage && (
        <p className="py-6 text-center text-xs text-faint">{many(rows.length, "run")}. These are all.</p>
      )}
      {last && runs.hasNextPage && last.runs.length === 0 && last.searched_to && (
        <div className="py-6 text-center text-sm text-soft">
          Searched back to {shortClock(last.searched_to)}.{" "}
          <button
            type="button"
            className="font-medium text-accent hover:underline"
            disabled={runs.isFetchingNextPage}
            onClick={() => void runs.fetchNextPage()}
          >
            {runs.isFetchingNextPage ? "Searching…" : "Search further"}
          </button>
        </div>
      )}
    </div>
  );
}

const useRowHeight = () =>
  useSyncExternalStore((changed) => {
    wide.addEventListener("change", changed);
    return () => wide.removeEventListener("change", changed);
  }, rowHeight);

/** How many rows before the end of what is there the next page is asked for. */
const ahead = 120;

function List({
  rows,
  more,
  fetching,
  fetchMore,
}: {
  rows: Parameters<typeof RunRow>[0]["run"][];
  more: boolean;
  fetching: boolean;
  fetchMore: () => void;
}) {
  const list = useRef<HTMLDivElement>(null);
  const navigate = useNavigate();
  const high = useRowHeight();
  const [from, to] = useShown(list, rows.length, high);
  useEffect(() => {
    // Who has not begun to scroll may have come for the first rows alone.
    if (more && !fetching && to >= rows.length - (from > 0 ? ahead : 0)) fetchMore();
  }, [more, fetching, from, to, rows.length, fetchMore]);

  // The chosen run stays chosen when others come above it.
  const [chosen, setChosen] = useState<string>();
  const at = chosen ? rows.findIndex((row) => row.run_id === chosen) : -1;
  const move = (by: number) => {
    const next = Math.max(0, Math.min(rows.length - 1, at + by));
    setChosen(rows[next]?.run_id);
    reveal(list.current!, next, high);
  };
  // Not all rows are drawn, so that the one that is chosen has no focus.
  useCommand(
    rowCommands(
      (by) => move(at < 0 ? 1 : by),
      () => {
        if (chosen) void navigate({ to: "/runs/$run", params: { run: chosen } });
      },
    ),
  );
  return (
    <div ref={list} role="list" aria-label="Runs" className="sm:mx-2 lg:mx-4" style={{ height: rows.length * high }}>
      <div role="presentation" style={{ transform: `translateY(${from * high}px)` }}>
        {rows.slice(from, to).map((run, i) => (
          <div
            key={run.run_id}
            role="listitem"
            aria-setsize={more ? -1 : rows.length}
            aria-posinset={from + i + 1}
            className="border-b border-line"
            style={{ height: high }}
          >
            <RunRow run={run} chosen={run.run_id === chosen} index={from + i} />
          </div>
        ))}
      </div>
    </div>
  );
}

/** How many rows there are above and below what is seen, once that was painted. */
const spareRows = 8;

/** Which rows are drawn: those that the window shows, and some around. All are equally high, so nothing is measured. */
function useShown(list: RefObject<HTMLElement | null>, count: number, high: number): [number, number] {
  const [top, setTop] = useState(0); // the first row that is seen
  const spare = usePainted((s) => s.painted) ? spareRows : 0;
  useEffect(() => {
    const first = () => Math.max(0, Math.floor(-(list.current?.getBoundingClientRect().top ?? 0) / high));
    const look = () => flushSync(() => setTop(first()));
    // Rows may have become higher, or the page may have been scrolled before. Where
    // nothing is scrolled, nothing has to be laid out to know.
    setTop((before) => (scrollY === 0 && before === 0 ? 0 : first()));
    addEventListener("scroll", look, { passive: true });
    return () => removeEventListener("scroll", look);
  }, [list, high]);
  const seen = Math.ceil(useWindowHeight() / high);
  return [Math.max(0, Math.min(top, count) - spare), Math.min(count, top + seen + spare)];
}

const useWindowHeight = () =>
  useSyncExternalStore(
    (changed) => {
      addEventListener("resize", changed);
      return () => removeEventListener("resize", changed);
    },
    () => innerHeight,
  );

/** What lies over the head of the list. */
const covered = 140;

/** Scrolls as little as it takes to see a row. */
function reveal(list: HTMLElement, row: number, high: number) {
  const top = list.getBoundingClientRect().top + row * high;
  if (top < covered) scrollBy(0, top - covered);
  else if (top + high > innerHeight) scrollBy(0, top + high - innerHeight);
}
