// A function for each kind of flow control, and some with several, with every
// TypeScript SDK. functions.mjs adds these to its scenarios.
import { held } from "./server.mjs";

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// The same text for several functions is one limit for all of them.
const pool = "'e2e-pool'";
const key = "event.data.key";

const options = {
  "flow-one": { concurrency: 1 },
  "flow-two": { concurrency: 2 },
  "flow-key": { concurrency: [{ limit: 3 }, { limit: 1, key }] },
  "flow-throttle": { throttle: { limit: 2, period: "1s" } },
  "flow-throttle-slow": { throttle: { limit: 1, period: "1s" } },
  "flow-burst": { throttle: { limit: 2, period: "1s", burst: 2, key } },
  "flow-rate": { rateLimit: { limit: 1, period: "1s", key } },
  "flow-rate-many": { rateLimit: { limit: 20, period: "1m" } },
  "flow-debounce": { debounce: { period: "1s", key } },
  "flow-debounce-cap": { debounce: { period: "1s", timeout: "2s", key } },
  "flow-debounce-slow": { debounce: { period: "4s", key } },
  "flow-priority": { concurrency: 1, priority: { run: "event.data.vip ? 120 : 0" } },
  "flow-batch": { batchEvents: { maxSize: 3, timeout: "1s", key, if: "event.data.alone != true" } },
  "flow-batch-slow": { batchEvents: { maxSize: 3, timeout: "4s", key } },
  "flow-skip": { singleton: { mode: "skip", key } },
  "flow-cancel": { singleton: { mode: "cancel", key } },
  "flow-once": { idempotency: "event.data.order" },
  "flow-mixed": {
    rateLimit: { limit: 1, period: "24h", key: "event.data.order" },
    throttle: { limit: 2, period: "1s", burst: 1 },
    concurrency: [{ limit: 2 }, { limit: 1, key }],
    priority: { run: "event.data.vip ? 120 : 0" },
  },
  "flow-batch-mixed": {
    batchEvents: { maxSize: 2, timeout: "1s" },
    throttle: { limit: 1, period: "1s", burst: 1 },
    concurrency: 1,
  },
  "flow-debounce-mixed": { debounce: { period: "1s", key }, singleton: { mode: "skip", key } },
};

// Functions of every app that is there start with these events.
const shared = {
  "flow-env-a": ["flow/env", { concurrency: { limit: 1, key: pool, scope: "env" } }],
  "flow-env-b": ["flow/env", { concurrency: { limit: 1, key: pool, scope: "env" } }],
  "flow-account-a": ["flow/account", { concurrency: { limit: 2, key, scope: "account" } }],
  "flow-account-b": ["flow/account", { concurrency: [{ limit: 1, key, scope: "account" }] }],
};

/** Returns the functions under flow control. */
export function flow({ define, log, on }) {
  // work is a step that takes data.ms milliseconds, or until the test opens the
  // gate data.hold. It logs for what events it works, and returns their numbers.
  const work = (ctx, fn, step = "work") => ctx.step.run(step, async () => {
    const line = { run: ctx.runId, step, attempt: ctx.attempt, fn, data: ctx.events.map((e) => e.data) };
    const { ms = 0, hold } = ctx.event.data;
    log({ ...line, what: "start" });
    await (hold ? held(hold) : pause(ms));
    log({ ...line, what: "end" });
    return ctx.events.map((e) => e.data.n);
  });

  return [
    ...Object.entries(options).map(([id, kind]) => on(id, (ctx) => work(ctx, id), kind)),
    ...Object.entries(shared).map(([id, [event, kind]]) =>
      define({ id, retries: 3, ...kind }, { event }, (ctx) => work(ctx, id))),

    on("flow-nap", async (ctx) => {
      await work(ctx, "flow-nap", "before");
      await ctx.step.sleep("nap", ctx.event.data.nap ?? "1s");
      return work(ctx, "flow-nap", "after");
    }, { concurrency: 1 }),
    on("flow-free", (ctx) => work(ctx, "flow-free"), { retries: 20 }),
  ];
}
