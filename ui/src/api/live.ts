import type { InfiniteData } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { base, type Row, type Schemas } from "./client";
import { firstPage, pageOfRuns, queryClient, type Search } from "./queries";

// One stream tells of all that changes on the server and patches what the queries
// have. A page that is hidden lets go of it: browsers allow few connections to one
// server, and it reads anew when somebody looks again.

type Connection = "connecting" | "live" | "offline";

let connection: Connection = "connecting";
const listeners = new Set<() => void>();

function become(next: Connection) {
  if (next === connection) return;
  connection = next;
  for (const tell of listeners) tell();
}

export const useConnection = () =>
  useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => connection,
  );

let source: EventSource | undefined;
let before = false;
let refused = false; // since it was last heard of

function connect() {
  // Whoever has to log in first would be refused again and again.
  if (source || document.hidden || /\/(login|setup|welcome)$/.test(location.pathname)) return;
  source = new EventSource(`${base}/v1/changes`);
  source.addEventListener("hello", () => {
    become("live");
    // Whatever happened while nobody listened was missed.
    if (before) void queryClient.invalidateQueries();
    before = true;
    refused = false;
  });
  source.addEventListener("news", (event) => take(JSON.parse(event.data)));
  source.onerror = () => {
    become("offline");
    if (source?.readyState === EventSource.CLOSED) {
      // It was refused, and the browser does not try again by itself.
      source = undefined;
      setTimeout(connect, 5000);
      // Whoever is not let in any more is told so by what the page shows.
      if (!refused) void queryClient.invalidateQueries();
      refused = true;
    }
  };
}

export function start() {
  connect();
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      source?.close();
      source = undefined;
    } else connect();
  });
}

type Changed = Schemas["Changed"];
type News = Schemas["News"];

function take(news: News) {
  for (const run of news.runs) takeRun(run);
  if (news.runs.length > 0) patchLists(news.runs);
  for (const topic of news.stale) refresh(topic);
}

function takeRun(run: Changed) {
  const trace = queryClient.getQueryData<Schemas["Trace"]>(["run", run.run_id, "trace"]);
  if (!trace) return;
  queryClient.setQueryData<Schemas["Trace"]>(["run", run.run_id, "trace"], { ...trace, run });
  if (run.seq > trace.seq || run.status !== trace.run.status)
    later(`run ${run.run_id}`, trace.total > 500 ? 1000 : 60, ["run", run.run_id]);
}

type Pages = InfiniteData<Schemas["Found"], string>;

function patchLists(runs: Changed[]) {
  for (const query of queryClient.getQueryCache().findAll({ queryKey: ["runs"] })) {
    const search = query.queryKey[1] as Search;
    const pages = query.state.data as Pages | undefined;
    if (!pages) continue;
    const { next, unsure } = patch(pages, runs, search);
    if (next !== pages) queryClient.setQueryData(query.queryKey, next);
    if (unsure) refresh("runs");
  }
  for (const query of queryClient.getQueryCache().findAll({ queryKey: ["runs-of-event"] })) {
    if (runs.some((run) => run.event_id === query.queryKey[1])) later(query.queryHash, 200, query.queryKey);
  }
}

/** How many rows a list keeps that grows by itself: older ones are asked for again. */
const mostLive = 20 * pageOfRuns;

/** A list with the runs as they are now, and whether only the server can say if some belong to it. */
export function patch(pages: Pages, runs: Changed[], search: Search): { next: Pages; unsure: boolean } {
  const news = new Map(runs.map((run) => [run.run_id, run as Row]));
  let touched = false;
  const changed = pages.pages.map((page) => {
    let same = true;
    const rows: Row[] = [];
    for (const row of page.runs) {
      const now = news.get(row.run_id);
      news.delete(row.run_id);
      if (!now) {
        rows.push(row);
        continue;
      }
      same = false;
      if (belongs(now, search) !== false) rows.push(now);
    }
    if (same) return page;
    touched = true;
    return { ...page, runs: rows };
  });
  let unsure = false;
  const fresh: Row[] = [];
  for (const row of news.values()) {
    const verdict = belongs(row, search);
    if (verdict === undefined) unsure = true;
    // What is older than the list reaches is on a page that was not asked for.
    if (verdict && !isBeyond(row, pages)) fresh.push(row);
  }
  if (!touched && fresh.length === 0) return { next: pages, unsure };
  const [first, ...rest] = changed;
  if (first && fresh.length > 0) {
    const rows = [...fresh, ...first.runs].sort(newestFirst);
    changed[0] = { ...first, runs: rows };
    if (rows.length > mostLive) return { next: pages, unsure: true };
    return { next: { ...pages, pages: [changed[0], ...rest] }, unsure };
  }
  return { next: { ...pages, pages: changed }, unsure };
}

const newestFirst = (a: Row, b: Row) =>
  a.queued_at === b.queued_at
    ? a.run_id < b.run_id
      ? 1
      : -1
    : Date.parse(b.queued_at) - Date.parse(a.queued_at) || (a.run_id < b.run_id ? 1 : -1);

function isBeyond(row: Row, pages: Pages): boolean {
  const last = pages.pages.at(-1);
  if (!last?.cursor) return false; // the list has an end
  const oldest = last.runs.at(-1);
  return oldest !== undefined && newestFirst(oldest, row) < 0;
}

/** Whether a run is one that a search asks for; undefined when only the server knows. */
export function belongs(row: Row, search: Search): boolean | undefined {
  const of = (list: string[] | undefined, value: string) => !list?.length || list.some((v) => v.toLowerCase() === value.toLowerCase());
  if (!of(search.status, row.status) || !(search.function?.length || search.app?.length ? anyOf(search, row) : true)) return false;
  if (search.event_id && row.event_id !== search.event_id) return false;
  if (search.event && !eventIs(search.event, row.event_name)) return false;
  if (search.from && Date.parse(row.queued_at) < Date.parse(search.from)) return false;
  if (search.until && Date.parse(row.queued_at) >= Date.parse(search.until)) return false;
  if (search.error && row.status !== "Failed") return false;
  if (search.error || search.data?.length) return undefined;
  return true;
}

const anyOf = (search: Search, row: Row) => (search.function ?? []).includes(row.function) || (search.app ?? []).includes(row.app);
const eventIs = (want: string, name: string) => (want.endsWith("*") ? name.startsWith(want.slice(0, -1)) : name === want);

/** What of the cache is old when the server says so. */
const topics: Record<string, { key: readonly unknown[]; wait: number; first?: boolean }[]> = {
  runs: [{ key: ["runs"], wait: 800 }],
  events: [{ key: ["events"], wait: 800, first: true }],
  letters: [{ key: ["letters"], wait: 700 }],
  apps: [
    { key: ["apps"], wait: 200 },
    { key: ["server"], wait: 200 },
    { key: ["overview"], wait: 2000 },
  ],
  controls: [
    { key: ["controls"], wait: 100 },
    { key: ["audit"], wait: 100, first: true },
    { key: ["overview"], wait: 300 },
  ],
  counts: [{ key: ["overview"], wait: 2000 }],
};

function refresh(topic: string) {
  for (const { key, wait, first } of topics[topic] ?? []) later(key.join("/"), wait, key, first);
}

const waiting = new Set<string>();
const lastAsked = new Map<string, number>();

/**
 * Asks for something again: at once when that was long ago, and else when wait is
 * over, so that a storm of changes costs a request now and then. first: of a list
 * that goes on, its first pages alone.
 */
function later(name: string, wait: number, key: readonly unknown[], first = false) {
  if (waiting.has(name)) return;
  waiting.add(name);
  const since = Date.now() - (lastAsked.get(name) ?? 0);
  setTimeout(
    () => {
      waiting.delete(name);
      lastAsked.set(name, Date.now());
      if (lastAsked.size > 500) lastAsked.clear();
      if (key[0] === "runs") {
        void renewRuns();
        return;
      }
      if (first) cutToFirst(key);
      void queryClient.invalidateQueries({ queryKey: key }, { cancelRefetch: false });
    },
    Math.max(0, Math.min(wait, wait - since)),
  );
}

/** Puts what is new at the head of each list of runs that is shown; the rest of it stays where it is. */
async function renewRuns() {
  for (const query of queryClient.getQueryCache().findAll({ queryKey: ["runs"] })) {
    const known = query.state.data as Pages | undefined;
    if (!query.isActive()) {
      query.invalidate();
      continue;
    }
    if (!known || query.state.fetchStatus !== "idle") continue;
    const head = await firstPage(query.queryKey[1] as Search).catch(() => undefined); // the stream says when the server is away
    const now = query.state.data as Pages | undefined;
    if (!head || !now) continue;
    queryClient.setQueryData(query.queryKey, withHead(now, head));
  }
}

/** A list with its head as the server has just given it. */
export function withHead(pages: Pages, head: Schemas["Found"]): Pages {
  const oldest = head.runs.at(-1);
  const fresh = new Set(head.runs.map((row) => row.run_id));
  const rest = pages.pages.flatMap((page) => page.runs).filter((row) => !fresh.has(row.run_id) && oldest && newestFirst(oldest, row) < 0);
  const reached = pages.pages.flatMap((page) => page.runs).some((row) => fresh.has(row.run_id));
  // Without a row in common there is a gap: the list begins anew.
  if (!head.cursor || !reached || rest.length > mostLive) return { pages: [head], pageParams: [""] };
  const last = pages.pages.at(-1);
  return {
    pages: [{ ...head, runs: [...head.runs, ...rest], cursor: last?.cursor ?? "", searched_to: last?.searched_to ?? null }],
    pageParams: [""],
  };
}

function cutToFirst(key: readonly unknown[]) {
  queryClient.setQueriesData<InfiniteData<unknown, unknown>>({ queryKey: key }, (old) =>
    old && "pages" in old && old.pages.length > 3 ? { pages: old.pages.slice(0, 3), pageParams: old.pageParams.slice(0, 3) } : old,
  );
}
