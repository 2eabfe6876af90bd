import { InfiniteQueryObserver, QueryObserver } from "@tanstack/react-query";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Schemas } from "./client";
import type { Pages } from "./lists";

// What a page shows is what is so in the end, however news, questions and answers overlap.
// The stream and the server's answers are given by hand; the rest is as it is.

type Asked = { url: string; answer: (data: unknown) => void; refuse: () => void };

let asked: Asked[] = [];
/** What answers at once; nothing: the test does. */
let auto: ((url: string) => unknown) | undefined;
let tell: (type: "hello" | "news", data: object) => void;

vi.stubGlobal(
  "EventSource",
  class {
    constructor() {
      const heard: Record<string, (event: { data: string }) => void> = {};
      Object.assign(this, {
        addEventListener: (type: string, listener: (event: { data: string }) => void) => {
          heard[type] = listener;
        },
      });
      tell = (type, data) => heard[type]!({ data: JSON.stringify(data) });
    }
    close() {}
  },
);
vi.stubGlobal(
  "fetch",
  (request: Request) =>
    new Promise<Response>((done, fail) => {
      const answer = (data: unknown) => done(new Response(JSON.stringify({ data }), { headers: { "Content-Type": "application/json" } }));
      request.signal.addEventListener("abort", () => fail(new DOMException("aborted", "AbortError")));
      asked.push({ url: request.url, answer, refuse: () => fail(new TypeError("no server")) });
      if (auto) answer(auto(request.url));
    }),
);
vi.useFakeTimers();
const { start } = await import("./live");
const { configQuery, eventQuery, linksQuery, queryClient, runsQuery, schedulesQuery, traceQuery } = await import("./queries");
start();

const pass = (ms = 5) => vi.advanceTimersByTimeAsync(ms);
const id = (n: number) => `run-${String(n).padStart(6, "0")}`;
const row = (n: number, more: Partial<Schemas["Changed"]> = {}): Schemas["Changed"] => ({
  run_id: id(n),
  function: "shop-pay",
  app: "shop",
  status: "Running",
  event_id: `e${n}`,
  event_name: "order/placed",
  queued_at: new Date(1_800_000_000_000 + n * 1000).toISOString(),
  started_at: null,
  ended_at: null,
  seq: 1,
  ...more,
});
const ended = { status: "Completed", ended_at: new Date(1_800_001_000_000).toISOString(), seq: 9 } as const;
const trace = (n: number, more: Partial<Schemas["Changed"]> = {}) => ({ run: row(n, more), seq: more.seq ?? 1, total: 0, steps: [] });
const found = (...runs: object[]) => ({ runs, cursor: "", searched_to: null });
const news = (runs: object[], ...stale: string[]) => tell("news", { runs, stale });

/** Shows what a query has, until it is called. */
const show = (options: object) => new QueryObserver(queryClient, options as never).subscribe(() => {});
const showList = (search: object) => new InfiniteQueryObserver(queryClient, runsQuery(search)).subscribe(() => {});
const statusOf = (n: number) => queryClient.getQueryData<Schemas["Trace"]>(["run", id(n), "trace"])?.run.status;
const listed = (search: object) =>
  queryClient.getQueryData<Pages>(["runs", search])!.pages.flatMap((page) => page.runs.map((run) => run.status));
const count = (part: string) => asked.filter(({ url }) => url.includes(part)).length;

beforeEach(() => {
  asked = [];
  auto = undefined;
});
afterEach(async () => {
  queryClient.clear();
  await pass(10_000);
});

test("a run's trace that was read before its end, and comes after the news of it, is asked for again", async () => {
  const hide = show(traceQuery(id(1)));
  await pass();
  news([row(1, ended)]);
  await pass(200);
  asked[0]!.answer(trace(1));
  auto = () => trace(1, ended);
  await pass(200);
  expect([statusOf(1), count("/trace")]).toEqual(["Completed", 2]);
  hide();
});

test("so is one that was asked for ahead and that nobody looked at yet", async () => {
  void queryClient.prefetchQuery(traceQuery(id(1)));
  await pass();
  news([row(1, ended)]);
  await pass(200);
  asked[0]!.answer(trace(1));
  auto = () => trace(1, ended);
  await pass(200);
  const hide = show(traceQuery(id(1)));
  await pass(200);
  expect(statusOf(1)).toBe("Completed");
  hide();
});

test("what belongs to a run and was read before its end is asked for again, even if the trace knew of it", async () => {
  const hide = [show(traceQuery(id(1))), show(linksQuery(id(1)))];
  await pass();
  for (const { url, answer } of asked) answer(url.includes("/trace") ? trace(1, ended) : { run: { status: "Running" } });
  await pass(200);
  auto = (url) => (url.includes("/trace") ? trace(1, ended) : { run: { status: "Completed" } });
  news([row(1, ended)]);
  await pass(200);
  expect(queryClient.getQueryData<Schemas["Links"]>(["run", id(1), "links"])?.run.status).toBe("Completed");
  for (const one of hide) one();
});

test("what changed before the page listened is asked for again, also what is still on its way", async () => {
  const hide = show(traceQuery(id(1)));
  await pass(50);
  tell("hello", { version: "", quiet_ms: 10 });
  await pass(50);
  asked[0]!.answer(trace(1));
  auto = () => trace(1, ended);
  await pass(50);
  expect(statusOf(1)).toBe("Completed");
  hide();
});

test("a list takes news that come while it is on the way", async () => {
  const hide = showList({});
  await pass();
  news([row(1, { status: "Running", started_at: ended.ended_at, seq: 4 })]);
  await pass(200);
  asked[0]!.answer(found(row(1, { status: "Queued" })));
  await pass(5);
  expect(listed({})).toEqual(["Running"]);
  hide();
});

test("a list that nobody looks at stays old while it is patched", async () => {
  const hide = showList({});
  await pass();
  asked[0]!.answer(found(row(2), row(1)));
  await pass(50);
  hide();
  news([], "runs");
  await pass(1000);
  news([row(1, ended)]);
  await pass(1000);
  expect(asked).toHaveLength(1);
  auto = () => found(row(3), row(2), row(1, ended));
  const again = showList({});
  await pass(50);
  expect(listed({})).toEqual(["Running", "Running", "Completed"]);
  again();
});

test("a list that is asked for again and left is old", async () => {
  const hide = showList({ app: ["shop"] });
  await pass();
  asked[0]!.answer(found(row(2), row(1)));
  await pass(50);
  tell("hello", { version: "", quiet_ms: 0 });
  await pass(50);
  news([row(1, { seq: 3 })]);
  hide();
  await pass(2000);
  asked = [];
  const again = showList({ app: ["shop"] });
  await pass(50);
  expect(count("/search")).toBe(1);
  again();
});

test("the head of a list is asked for again when what was on the way has come", async () => {
  void queryClient.prefetchInfiniteQuery(runsQuery({}));
  await pass();
  news([], "runs");
  await pass(1000);
  asked[0]!.answer(found());
  await pass(50);
  auto = () => found(row(1));
  const hide = showList({});
  await pass(1000);
  expect(listed({})).toEqual(["Running"]);
  hide();
});

test("a further page of a list says nothing of its head", async () => {
  const list = new InfiniteQueryObserver(queryClient, runsQuery({}));
  const hide = list.subscribe(() => {});
  await pass();
  asked[0]!.answer({ ...found(row(2)), cursor: "more" });
  await pass(50);
  news([], "runs");
  void list.fetchNextPage();
  await pass(1000);
  asked.find(({ url }) => url.includes("cursor=more"))!.answer(found(row(1)));
  auto = () => ({ ...found(row(3), row(2)), cursor: "more" });
  await pass(1000);
  expect(listed({})).toHaveLength(3);
  hide();
});

test("a further page that is asked for in place of the head leaves that old", async () => {
  const list = new InfiniteQueryObserver(queryClient, runsQuery({}));
  const hide = list.subscribe(() => {});
  await pass();
  asked[0]!.answer({ ...found(row(2)), cursor: "more" });
  await pass(50);
  tell("hello", { version: "", quiet_ms: 0 });
  await pass(50);
  void list.fetchNextPage(); // which cancels what is on its way
  await pass(50);
  auto = () => ({ ...found(row(3), row(2)), cursor: "more" });
  asked.at(-1)!.answer(found(row(1)));
  await pass(10_000);
  expect(listed({})).toHaveLength(3);
  hide();
});

test("a head that was not to be had is asked for once more, and when somebody comes back", async () => {
  const hide = showList({});
  await pass();
  asked[0]!.answer(found(row(2), row(1)));
  await pass(50);
  news([], "runs");
  await pass(1000);
  asked[1]!.refuse();
  await pass(10_000);
  expect(asked).toHaveLength(3);
  asked[2]!.refuse();
  await pass(60_000);
  expect(asked).toHaveLength(3);
  hide();
  auto = () => found(row(3), row(2), row(1));
  const again = showList({});
  await pass(50);
  expect(listed({})).toHaveLength(3);
  again();
});

test("a list of which all is old, and that is left while it is on its way, is still old", async () => {
  const all = () => ({ ...found(...Array.from({ length: 100 }, (_, i) => row(200 - i))), cursor: "more" });
  auto = all;
  const hide = showList({});
  await pass(50);
  news([], "runs", "unnamed");
  await pass(2000);
  news([], "runs", "unnamed");
  await pass(1000);
  auto = undefined;
  const before = asked.length;
  await pass(6000);
  expect(asked.length).toBeGreaterThan(before);
  news([row(150, ended)]);
  hide();
  await pass(2000);
  asked = [];
  const again = showList({});
  await pass(1000);
  expect(asked).toHaveLength(1);
  again();
});

test("what is wanted sooner comes sooner", async () => {
  auto = () => trace(1);
  const hide = show(traceQuery(id(1)));
  await pass(50);
  news([row(1, { seq: 2 })]);
  await pass(100);
  asked = [];
  news([], "unnamed"); // in a second
  news([row(1, { seq: 3 })]); // at once
  await pass(100);
  expect(asked).toHaveLength(1);
  hide();
});

test("what is noted about a run is asked for, and what belongs to an event", async () => {
  auto = () => ({ run: row(1, ended) });
  const hide = show(linksQuery(id(1)));
  await pass(50);
  asked = [];
  news([], "metadata");
  await pass(2000);
  expect(count("/links")).toBe(1);
  hide();
});

test("a page of a run that only waits asks nothing, whatever else goes on", async () => {
  auto = (url) => (url.includes("/search") ? found(row(2), row(1)) : url.includes("/trace") ? trace(1) : { run: row(1) });
  void queryClient.prefetchInfiniteQuery(runsQuery({}));
  const hide = [show(traceQuery(id(1))), show(linksQuery(id(1)))];
  await pass(50);
  asked = [];
  for (let i = 0; i < 20; i++) {
    news([row(100 + i)], "runs", "counts", "events", "letters");
    await pass(150);
  }
  expect(asked).toEqual([]);
  news([], "unnamed");
  await pass(2000);
  expect([count("/trace"), count("/links")]).toEqual([1, 1]);
  for (const one of hide) one();
});

test("a storm of news costs a list a request now and then", async () => {
  auto = () => found(row(2), row(1));
  const hide = showList({});
  await pass(50);
  asked = [];
  for (let i = 0; i < 40; i++) {
    news([row(100 + i)], "runs", "unnamed");
    await pass(150);
  }
  expect(asked.length).toBeGreaterThan(3);
  expect(asked.length).toBeLessThan(12);
  await pass(10_000);
  asked = [];
  await pass(60_000);
  expect(asked, "and then there is silence").toEqual([]);
  news([], "runs");
  await pass(60_000);
  expect(asked, "a head is asked for once").toHaveLength(1);
  hide();
});

test("what a function is configured with is asked for again after a sync", async () => {
  auto = () => ({ configuration: {} });
  const hide = show(configQuery("shop", "pay"));
  await pass(1000);
  expect(count("/v2/apps/shop/functions/pay")).toBe(1);
  news([], "apps");
  await pass(1000);
  expect(count("/v2/apps/shop/functions/pay")).toBe(2);
  hide();
});

test("an event that waits for others is asked for again until it waits no more", async () => {
  const event = (...waits: object[]) => ({ internal_id: "e1", waits });
  auto = () => event({ function: "shop-ship", for: "debounce" });
  const hide = show(eventQuery("e1"));
  await pass(1000);
  expect(count("/v1/events/e1")).toBe(1);
  news([], "events"); // another one came
  await pass(1000);
  expect(count("/v1/events/e1")).toBe(2);
  auto = () => event();
  news([row(1)]); // its run
  await pass(1000);
  expect(count("/v1/events/e1")).toBe(3);
  news([row(1, { seq: 2 })], "events", "runs");
  await pass(10_000);
  expect(count("/v1/events/e1"), "the rest of it stays as it is").toBe(3);
  hide();
});

test("a page that has missed nothing asks nothing", async () => {
  auto = () => trace(1);
  const hide = show(traceQuery(id(1)));
  await pass(50);
  vi.resetModules();
  asked = [];
  const anew = await import("./live"); // as a page does that has just begun
  const own = await import("./queries");
  anew.start();
  const also = new QueryObserver(own.queryClient, own.traceQuery(id(1)) as never).subscribe(() => {});
  await pass(50);
  expect(asked).toHaveLength(1);
  tell("hello", { version: "", quiet_ms: 86_400_000 });
  await pass(5000);
  expect(asked).toHaveLength(1);
  tell("hello", { version: "", quiet_ms: 86_400_000 }); // again: it was away
  await pass(5000);
  expect(asked).toHaveLength(2);
  also();
  hide();
});

test("what fails is not asked for again and again", async () => {
  const hide = show(traceQuery(id(1)));
  await pass();
  asked[0]!.answer(trace(1));
  await pass(50);
  auto = () => {
    throw new Error("no server");
  };
  news([row(1, { seq: 2 })]);
  await pass(60_000);
  expect(asked.length).toBeLessThan(6);
  hide();
});

test("which ticks come next is asked for again when the first of them has passed, and only then", async () => {
  const tick = Date.now() + 90_000;
  const schedule = (...next: number[]) => ({ function: "shop-rates", next: next.map((at) => new Date(at).toISOString()) });
  auto = () => [schedule(tick + 600_000), schedule(tick, tick + 60_000), schedule()];
  const hide = show(schedulesQuery);
  await pass(89_000);
  expect(count("/v1/schedules")).toBe(1);
  auto = () => [schedule(tick + 600_000), schedule(tick + 60_000)];
  await pass(3000);
  expect(count("/v1/schedules"), "the tick has passed").toBe(2);
  await pass(50_000);
  expect(count("/v1/schedules")).toBe(2);
  await pass(20_000);
  expect(count("/v1/schedules"), "a server whose clock is behind is not stormed").toBeLessThan(6);
  hide();
  await pass(10_000);
  asked = [];
  await pass(600_000);
  expect(asked, "nobody looks at it").toEqual([]);
  show(schedulesQuery)();
  await pass();
  expect(count("/v1/schedules"), "it is old when it is shown again").toBe(1);
});
