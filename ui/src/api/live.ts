import { hashKey, type InfiniteData, type Query } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { base, type Search } from "./ask";
import type { Schemas } from "./client";
import { type Changed, type Pages, patch, withHead } from "./lists";
import { firstPage, queryClient, schedulesQuery } from "./queries";

// One stream tells of all that changes on the server and patches what the queries
// have. A page that is hidden lets go of it: browsers allow few connections to one
// server, and it reads anew when somebody looks again.
//
// What the stream says to be old (markOld) is asked for again: at once, when it is shown;
// when its answer has come, if it is on the way, since that may have been read before; and
// when it is shown again, if it is not. TanStack's own mark is lost with each patch and each
// answer. So it is kept here when a query was marked, and when what it has was asked for.

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

/** For how long there is a page, in milliseconds, also while the machine slept. */
const pageAge = () => Math.max(performance.now(), Date.now() - performance.timeOrigin);

function connect() {
  // Whoever has to log in first would be refused again and again.
  if (source || document.hidden || /\/(login|setup|welcome)$/.test(location.pathname)) return;
  source = new EventSource(`${base}/v1/changes`);
  source.addEventListener("hello", (event) => {
    become("live");
    // Whatever happened while nobody listened was missed. What a page shows first is asked
    // for before it listens: the server says for how long nothing has changed.
    const { quiet_ms } = JSON.parse(event.data) as { quiet_ms: number };
    if (before || quiet_ms < pageAge()) {
      renewWhole(0);
      markOld(known([]), 0);
    }
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
  queryClient.getQueryCache().subscribe((event) => {
    if (event.type === "removed") forget(event.query);
    if (event.type === "updated") follow(event.query, event.action);
  });
  connect();
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      source?.close();
      source = undefined;
    } else connect();
  });
}

type News = Schemas["News"];

function take(news: News) {
  if (news.runs.length > 0) {
    takeRuns(new Map(news.runs.map((run) => [run.run_id, run])));
    patchLists(news.runs);
  }
  for (const topic of news.stale) for (const { key, wait } of topics[topic] ?? []) markOld(known([key]).filter(mayChange), wait);
  if (news.stale.includes("unnamed")) {
    const going = new Set<unknown>();
    for (const { queryKey, state } of known(["run"]))
      if (queryKey[2] === "trace" && !(state.data as Schemas["Trace"] | undefined)?.run.ended_at) going.add(queryKey[1]);
    markOld(
      known(["run"]).filter(({ queryKey }) => going.has(queryKey[1])),
      1000,
    );
    renewWhole(5000);
  }
}

/** An event stays as it came, but for what it still waits for. */
const mayChange = ({ queryKey, state }: Query) =>
  queryKey[0] !== "event" || (state.data as Schemas["EventDetail"] | undefined)?.waits.length !== 0;

const known = (queryKey: readonly unknown[]) => queryClient.getQueryCache().findAll({ queryKey });

/** What is old when the server says so, and how long it may stay so, in milliseconds. */
const topics: Record<string, { key: string; wait: number }[]> = {
  runs: [
    { key: "runs", wait: 800 },
    { key: "runs-of-event", wait: 800 },
    { key: "event", wait: 800 },
  ],
  events: [
    { key: "events", wait: 800 },
    { key: "event", wait: 800 }, // another may take its place in a debounce, or fill its batch
  ],
  letters: [{ key: "letters", wait: 700 }],
  apps: [
    { key: "apps", wait: 200 },
    { key: "server", wait: 200 },
    { key: "overview", wait: 2000 },
  ],
  controls: [
    { key: "controls", wait: 100 },
    { key: "audit", wait: 100 },
    { key: "overview", wait: 300 },
  ],
  counts: [{ key: "overview", wait: 2000 }],
  metadata: [{ key: "run", wait: 1000 }],
};

/** Of lists that go on, these are asked for again by their first pages alone. */
const firstPagesOf = new Set<unknown>(["events", "audit"]);

/** Shows runs as they have become, and marks what else is known of them. */
function takeRuns(news: Map<unknown, Changed>) {
  for (const query of known(["run"])) {
    const run = news.get(query.queryKey[1]);
    if (!run) continue;
    const key = ["run", run.run_id, "trace"];
    const trace = queryClient.getQueryData<Schemas["Trace"]>(key);
    if (trace && query.queryKey[2] === "trace" && !(trace.run.ended_at && !run.ended_at))
      queryClient.setQueryData<Schemas["Trace"]>(key, { ...trace, run });
    markOld([query], trace && trace.total > 500 ? 1000 : 60);
  }
}

let tick = 0;
/** Which queries were marked, when, and how long they may stay as they are. */
const old = new Map<string, { at: number; wait: number }>();
/** When what is on the way was asked for, and when what is there was. */
const begun = new Map<string, number>();
const read = new Map<string, number>();

const isOld = ({ queryHash }: Query) => (old.get(queryHash)?.at ?? 0) > (read.get(queryHash) ?? 0);

function markOld(queries: Query[], wait: number) {
  for (const query of queries) {
    old.set(query.queryHash, { at: ++tick, wait });
    later(query.queryHash, wait, () => renew(query));
  }
}

function forget({ queryHash, queryKey }: Query) {
  clearTimeout(waiting.get(queryHash)?.timer);
  if (isSchedules(queryKey)) clearTimeout(ticking);
  for (const map of [old, begun, read, missed, missedHead, waiting, lastRenewed]) map.delete(queryHash);
}

function follow(query: Query, action: { type: string; manual?: boolean; meta?: { fetchMore?: object } }) {
  const { queryHash } = query;
  // With a further page, those before it are not asked for: they are as old as they were.
  if (action.type === "fetch") begun.set(queryHash, action.meta?.fetchMore ? (read.get(queryHash) ?? 0) : ++tick);
  if (action.type === "success" && !action.manual) read.set(queryHash, begun.get(queryHash) ?? 0);
  if (action.type === "success" && isSchedules(query.queryKey)) waitForTick(query);
  if (query.state.fetchStatus !== "idle") return;
  const news = missed.get(queryHash);
  missed.delete(queryHash);
  if (news) patchList(query, [...news.values()]);
  // What has failed is not asked for again and again: it is when the server is back.
  if (!isOld(query) || action.type === "error") return;
  if (query.isActive()) later(queryHash, old.get(queryHash)!.wait, () => renew(query));
  else if (!query.state.isInvalidated) query.invalidate();
}

const isSchedules = (queryKey: readonly unknown[]) => hashKey(queryKey) === hashKey(schedulesQuery.queryKey);
let ticking: ReturnType<typeof setTimeout> | undefined;

/** Which ticks come next is old when the first of them has passed, which the server has no news of. */
function waitForTick(query: Query) {
  clearTimeout(ticking);
  const first = Math.min(...(query.state.data as Schemas["Schedule"][]).flatMap((s) => s.next.slice(0, 1)).map(Date.parse));
  if (!Number.isFinite(first)) return;
  // If it is not old for the server, the clocks differ: it is not asked again and again.
  const due = Math.max(first + 500, Date.now() + 5000);
  const look = () => {
    const rest = due - Date.now();
    // No timer counts on while a machine sleeps, nor for more than some weeks.
    if (rest > 0) ticking = setTimeout(look, Math.min(rest, 60_000));
    else if (!document.hidden) markOld([query], 0); // a page that is looked at again reads all
  };
  look();
}

/** Asks again for what is old; what is on the way, when it has come. */
function renew(query: Query) {
  if (!isOld(query) || query.state.fetchStatus !== "idle") return;
  const [kind] = query.queryKey;
  if (!query.isActive()) query.invalidate();
  else if (kind === "runs" && query.state.data) void renewHead(query);
  else {
    if (firstPagesOf.has(kind)) cutToFirst(query.queryKey);
    void queryClient.invalidateQueries({ queryKey: query.queryKey, exact: true }, { cancelRefetch: false });
  }
}

const waiting = new Map<string, { due: number; timer: ReturnType<typeof setTimeout> }>();
const lastRenewed = new Map<string, number>();

/** Does something: at once when it was done long ago, and else when wait is over, so that a storm of changes costs a request now and then. */
function later(name: string, wait: number, what: () => void) {
  const now = Date.now();
  const pause = Math.max(0, Math.min(wait, wait - (now - (lastRenewed.get(name) ?? 0))));
  const sooner = waiting.get(name);
  if (sooner && sooner.due <= now + pause) return;
  clearTimeout(sooner?.timer);
  const timer = setTimeout(() => {
    waiting.delete(name);
    lastRenewed.set(name, Date.now());
    what();
  }, pause);
  waiting.set(name, { due: now + pause, timer });
}

const lists = () => known(["runs"]);

/**
 * News of runs that have come while a list is asked for, by the list and the run. The
 * answer may not know of them yet, and takes the place of what was patched meanwhile.
 */
const missed = new Map<string, Map<string, Changed>>();
/** The same, while only the head of a list is asked for. */
const missedHead = new Map<string, Map<string, Changed>>();
/** More are not kept for a list: it is asked for again. */
const mostMissed = 5000;

function keep(news: Map<string, Changed>, runs: Changed[]) {
  if (news.size > mostMissed) renewWhole(5000);
  else for (const run of runs) news.set(run.run_id, run);
}

function patchLists(runs: Changed[]) {
  for (const query of lists()) {
    const { queryHash, state } = query;
    if (state.fetchStatus !== "idle") {
      const news = missed.get(queryHash) ?? new Map();
      missed.set(queryHash, news);
      keep(news, runs);
    }
    const heads = missedHead.get(queryHash);
    if (heads) keep(heads, runs);
    patchList(query, runs);
  }
  const events = new Set<unknown>(runs.map((run) => run.event_id));
  markOld(
    [...known(["runs-of-event"]), ...known(["event"]).filter(mayChange)].filter(({ queryKey }) => events.has(queryKey[1])),
    200,
  );
}

function patchList(query: Query, runs: Changed[]) {
  const pages = query.state.data as Pages | undefined;
  if (!pages) return;
  const { next, unsure } = patch(pages, runs, query.queryKey[1] as Search);
  if (next !== pages) queryClient.setQueryData(query.queryKey, next);
  if (unsure) markOld([query], 800);
}

/** Asks again for the lists of runs with all their pages: what is old may be anywhere. */
function renewWhole(wait: number) {
  later("whole lists", wait, () => {
    for (const { queryHash, queryKey, state } of lists()) {
      if (state.fetchStatus !== "idle") {
        if (state.data) renewWhole(5000);
        continue; // what comes for the first time is whole
      }
      old.set(queryHash, { at: ++tick, wait: 5000 });
      void queryClient.invalidateQueries({ queryKey, exact: true });
    }
  });
}

/** Puts what is new at the head of a list of runs that is shown; the rest of it stays where it is. */
async function renewHead(query: Query) {
  const { queryHash, queryKey } = query;
  if (missedHead.has(queryHash)) return; // it is looked at again when that has come
  const news = new Map<string, Changed>();
  missedHead.set(queryHash, news);
  const asked = ++tick;
  const head = await firstPage(queryKey[1] as Search).catch(() => undefined); // the stream says when the server is away
  missedHead.delete(queryHash);
  if (!head) {
    query.invalidate(); // it is asked for once more, and when somebody comes back to it
    return;
  }
  const now = query.state.data as Pages | undefined;
  // What is on the way takes the place of all that is there: then it is looked at again.
  if (query.state.fetchStatus !== "idle" || !now) return;
  read.set(queryHash, asked);
  queryClient.setQueryData(queryKey, withHead(now, head, scrollY < nearTop));
  patchList(query, [...news.values()]);
}

/** Who has scrolled no further sees the first rows alone, in pixels. */
const nearTop = 1000;

function cutToFirst(key: readonly unknown[]) {
  queryClient.setQueryData<InfiniteData<unknown, unknown>>(key, (was) =>
    was && "pages" in was && was.pages.length > 3 ? { pages: was.pages.slice(0, 3), pageParams: was.pageParams.slice(0, 3) } : was,
  );
}
