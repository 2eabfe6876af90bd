// The scenarios that the end-to-end tests run with every TypeScript SDK. Both
// majors share this file: what differs between them (how a function is defined,
// which package the error classes come from) is passed in.
//
// A scenario is a function named after its event: ts4/serial starts ts4-serial.

import { flow } from "./flow.mjs";
import { clockwork, waits } from "./waits.mjs";

const megabyte = "x".repeat(1_000_000);

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/**
 * Returns the functions of one app.
 *
 * define(options, trigger, handler) wraps the SDK's createFunction; log writes
 * one line of the app log; sdk holds NonRetriableError, RetryAfterError and
 * referenceFunction. With cron there is also a function that a clock starts.
 */
export function scenarios({ app, cron, define, log, sdk }) {
  const { NonRetriableError, RetryAfterError } = sdk;

  // body logs the start and the end of a step's body, whatever its outcome. name is
  // the step's id with its repeat index, so that its SHA-1 is the id on the wire.
  const body = (ctx, name, work = () => name) => async () => {
    const line = { run: ctx.runId, step: name, attempt: ctx.attempt };
    log({ ...line, what: "start" });
    try {
      return await work();
    } finally {
      log({ ...line, what: "end" });
    }
  };
  const run = (ctx, name, work) => ctx.step.run(name, body(ctx, name, work));
  const on = (name, handler, options = {}, event = name) =>
    define({ id: name, retries: 3, ...options }, { event: `${app}/${event}` }, handler);

  return [
    ...waits({ app, define, on, run, sdk }),
    ...flow({ define, log, on }),
    ...(cron ? [clockwork({ define, run })] : []),

    on("nostep", async (ctx) => {
      log({ run: ctx.runId, step: "fn", attempt: ctx.attempt, what: "start" });
      return { n: ctx.event.data.n };
    }),

    on("serial", async (ctx) => {
      const a = await run(ctx, "a", () => 1);
      const b = await run(ctx, "b", () => a + 1);
      return run(ctx, "c", () => a + b + 3);
    }),

    // Five steps, a sleep, three steps: how many requests it takes tells whether
    // checkpoints and resumption work.
    on("many", async (ctx) => {
      let sum = 0;
      for (const name of ["m1", "m2", "m3", "m4", "m5"]) sum += await run(ctx, name, () => 1);
      await ctx.step.sleep("rest", "1s");
      for (const name of ["m6", "m7", "m8"]) sum += await run(ctx, name, () => 1);
      return sum;
    }),

    on("parallel", async (ctx) => {
      const parts = await Promise.all([
        run(ctx, "left", () => pause(1000).then(() => "l")),
        run(ctx, "right", () => pause(1000).then(() => "r")),
      ]);
      return run(ctx, "after", () => parts.join(""));
    }),

    on("parallel-fail", async (ctx) => {
      const parts = await Promise.all([
        run(ctx, "good", () => "g"),
        run(ctx, "flaky", () => {
          if (ctx.attempt < 2) throw new Error("flaky branch");
          return "f";
        }),
      ]);
      return run(ctx, "after", () => parts.join(""));
    }),

    on("loop", async (ctx) => {
      const seen = [];
      for (let i = 0; i < 4; i++) {
        seen.push(await ctx.step.run("item", body(ctx, i ? `item:${i}` : "item", () => i)));
      }
      return seen;
    }),

    on("caught", async (ctx) => {
      try {
        await run(ctx, "bad", () => {
          throw new TypeError("bad thing");
        });
      } catch (err) {
        return run(ctx, "plan-b", () => ({ message: err.message }));
      }
    }, { retries: 1 }),

    on("uncaught", async (ctx) => {
      await run(ctx, "bad", () => {
        throw new TypeError("bad thing");
      });
    }, { retries: 1 }),

    on("cause", async (ctx) => {
      log({ run: ctx.runId, step: "fn", attempt: ctx.attempt, what: "start" });
      throw new Error("outer", { cause: new Error("middle", { cause: new Error("inner") }) });
    }, { retries: 0 }),

    on("retry", async (ctx) => {
      const first = await run(ctx, "third-time", () => {
        if (ctx.attempt < 2) throw new Error(`attempt ${ctx.attempt}`);
        return ctx.attempt;
      });
      const second = await run(ctx, "fresh", () => ctx.attempt);
      return { first, second };
    }),

    on("nonretriable", async (ctx) => {
      log({ run: ctx.runId, step: "fn", attempt: ctx.attempt, what: "start" });
      throw new NonRetriableError("never again");
    }),

    on("nonretriable-step", async (ctx) => {
      try {
        await run(ctx, "refused", () => {
          throw new NonRetriableError("declined");
        });
      } catch (err) {
        return { caught: err.message };
      }
    }),

    on("retry-after", async (ctx) => {
      return run(ctx, "later", () => {
        if (ctx.attempt === 0) throw new RetryAfterError("come back", "3s");
        return "came back";
      });
    }),

    on("sleep", async (ctx) => {
      await run(ctx, "before", () => 1);
      await ctx.step.sleep("nap", "2s");
      return run(ctx, "after", () => "rested");
    }),

    on("sleep-until", async (ctx) => {
      await run(ctx, "before", () => 1);
      await ctx.step.sleepUntil("long-ago", new Date("2020-01-01T00:00:00Z"));
      return run(ctx, "after", () => "at once");
    }),

    on("fan-a", async (ctx) => run(ctx, "work", () => "a"), {}, "fanout"),
    on("fan-b", async (ctx) => run(ctx, "work", () => "b"), {}, "fanout"),
    on("fan-c", async (ctx) => run(ctx, "work", () => {
      throw new Error("c is broken");
    }), { retries: 1 }, "fanout"),

    // Six results of 1 MB: the state no longer fits one request body.
    on("big", async (ctx) => {
      let bytes = 0;
      for (let i = 0; i < 6; i++) {
        bytes += (await run(ctx, `big-${i}`, () => megabyte)).length;
      }
      await ctx.step.sleep("breathe", "1s");
      return run(ctx, "count", () => bytes);
    }),

    on("send", async (ctx) => {
      const { ids } = await ctx.step.sendEvent("tell", [
        { name: `${app}/sent`, data: { n: 1, from: ctx.runId } },
        { name: `${app}/sent`, data: { n: 2, from: ctx.runId } },
      ]);
      await run(ctx, "after", () => 1);
      return ids;
    }),
    on("sent", async (ctx) => run(ctx, "got", () => ctx.event.data.n)),

    on("on-failure", async () => {
      throw new Error("beyond repair");
    }, {
      retries: 1,
      onFailure: async (ctx) => {
        await run(ctx, "handle", () => 1);
        return { failed: ctx.event.data.run_id, message: ctx.error.message, n: ctx.event.data.event.data.n };
      },
    }),

    on("nothing", async (ctx) => {
      await run(ctx, "void", () => undefined);
      await run(ctx, "null", () => null);
    }),

    define({ id: "defaults" }, { event: `${app}/defaults` }, async (ctx) => {
      log({ run: ctx.runId, step: "fn", attempt: ctx.attempt, what: "start" });
      throw new Error("always");
    }),

    on("slow", async (ctx) => {
      await run(ctx, "first", () => 1);
      await run(ctx, "second", () => pause(3000).then(() => 2));
      return run(ctx, "third", () => "done");
    }),

    // Work for the kill tests: a serial run of five steps of uneven length.
    on("kill", async (ctx) => {
      for (let i = 1; i <= 5; i++) {
        await run(ctx, `k${i}`, () => pause((ctx.event.data.n * 7 + i * 13) % 60).then(() => i));
      }
      return { n: ctx.event.data.n };
    }, { retries: 20 }),
  ];
}
