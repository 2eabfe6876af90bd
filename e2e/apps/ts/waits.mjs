// What a function can wait for, and how it can end, with every TypeScript SDK.
// functions.mjs adds these to its scenarios and passes its helpers in.

/** Returns the functions that wait, invoke, are cancelled or time out. */
export function waits({ app, define, on, run, sdk }) {
  const { referenceFunction } = sdk;
  // Runs when a run of cancel-on has ended.
  const told = (how) => define(
    { id: `told-${how}` },
    { event: `inngest/function.${how}`, if: `event.data.function_id == '${app}-cancel-on'` },
    (ctx) => ctx.event.data.run_id,
  );
  const samePair = "event.data.key == async.data.key";

  return [
    on("wait", (ctx) => ctx.step.waitForEvent("for", { event: `${app}/paid`, match: "data.key", timeout: "1h" })),

    // What is deployed as APP_CODE=new has another name for a step.
    on("deploy", async (ctx) => {
      await run(ctx, "reserve", () => ({ id: "h1" }));
      await run(ctx, process.env.APP_CODE === "new" ? "charge card" : "charge", () => 7);
      await ctx.step.waitForEvent("handed over", { event: `${app}/handed-over`, timeout: "1h" });
      return run(ctx, "thank", () => "thanked");
    }),

    on("wait-if", async (ctx) => {
      await run(ctx, "before", () => 1);
      const paid = await ctx.step.waitForEvent("for", {
        event: `${app}/paid-if`, if: `${samePair} && async.data.n > 5`, timeout: "1h",
      });
      return run(ctx, "after", () => paid.data.n);
    }),

    on("wait-timeout", async (ctx) => {
      await run(ctx, "before", () => 1);
      const got = await ctx.step.waitForEvent("for", { event: `${app}/early`, if: samePair, timeout: "2s" });
      await run(ctx, "after", () => 1);
      return { got };
    }),

    on("wait-own", async (ctx) => {
      await run(ctx, "before", () => 1);
      const got = await ctx.step.waitForEvent("for", { event: `${app}/wait-own`, timeout: "2s" });
      await run(ctx, "after", () => 1);
      return { got };
    }),

    on("wait-all", async (ctx) => {
      const go = await ctx.step.waitForEvent("for", { event: `${app}/all-go`, timeout: "1h" });
      return run(ctx, "after", () => go.data.n);
    }),

    on("wait-bad", (ctx) => ctx.step.waitForEvent("for", { event: `${app}/paid`, if: "event.data.key ===", timeout: "1h" })),

    // Most of these fail to evaluate for an event whose text is no number.
    on("wait-brittle", async (ctx) => {
      const condition = ctx.event.data.good ? "async.data.text == 'x'" : "int(async.data.text) > 3";
      const go = await ctx.step.waitForEvent("for", { event: `${app}/brittle-go`, if: condition, timeout: "1h" });
      return go.data.text;
    }),

    on("wait-beside", async (ctx) => {
      const key = ctx.event.data.key;
      const [, got] = await Promise.all([
        ctx.step.sendEvent("tell", { name: `${app}/beside`, data: { key, n: 42 } }),
        ctx.step.waitForEvent("for", { event: `${app}/beside`, if: samePair, timeout: "30s" }),
      ]);
      return got && got.data.n;
    }),

    on("signal", async (ctx) => {
      const { signal, timeout = "1h", conflict = "fail" } = ctx.event.data;
      const got = await ctx.step.waitForSignal("for", { signal, timeout, onConflict: conflict });
      await run(ctx, "after", () => 1);
      return { got };
    }),
    on("send-signal", async (ctx) => {
      const { signal, data } = ctx.event.data;
      await ctx.step.sendSignal("tell", { signal, data });
      return run(ctx, "after", () => "sent");
    }),

    // Invokes what its event names, of this app or of another.
    on("invoke", async (ctx) => {
      const { of, fn, timeout, n } = ctx.event.data;
      await run(ctx, "before", () => 1);
      let got;
      try {
        const callee = referenceFunction({ appId: of ?? app, functionId: fn });
        got = { got: await ctx.step.invoke("call", { function: callee, data: { n }, timeout }) };
      } catch (err) {
        got = { caught: err.message };
      }
      return run(ctx, "after", () => got);
    }),
    on("invoke-uncaught", (ctx) => ctx.step.invoke("call", { function: referenceFunction({ functionId: "no-stock" }) })),
    on("double", async (ctx) => {
      await ctx.step.sleep("think", "1s");
      return run(ctx, "work", () => ({ n: 2 * ctx.event.data.n, from: app }));
    }),
    on("no-stock", async () => {
      throw new Error("nothing in stock");
    }, { retries: 0 }),
    on("unhurried", async (ctx) => {
      await ctx.step.sleep("rest", "4s");
      return run(ctx, "work", () => "at last");
    }),

    on("cancel-on", async (ctx) => {
      await run(ctx, "before", () => 1);
      await ctx.step.sleep("nap", "5s");
      return run(ctx, "after", () => "undisturbed");
    }, {
      cancelOn: [
        { event: `${app}/stop`, match: "data.key" },
        { event: `${app}/stop-if`, if: `${samePair} && async.data.n > 5` },
        { event: `${app}/stop-soon`, if: samePair, timeout: "1s" },
      ],
      onFailure: (ctx) => run(ctx, "handle-cancel", () => 1),
    }),

    told("cancelled"),
    told("finished"),

    on("timeout-start", (ctx) => run(ctx, "work", () => 1), { timeouts: { start: "1s" } }),
    on("timeout-finish", async (ctx) => {
      for (const name of ["t1", "t2", "t3"]) {
        await run(ctx, name, () => new Promise((done) => setTimeout(done, 2000)));
        await ctx.step.sleep(`rest-${name}`, "1s");
      }
    }, { timeouts: { finish: "4s" } }),
    on("timeout-nap", async (ctx) => {
      await run(ctx, "before", () => 1);
      await ctx.step.sleep("nap", "1h");
    }, { timeouts: { finish: "2s" } }),

    on("fail-wait", async () => {
      throw new Error("ask somebody");
    }, {
      retries: 0,
      onFailure: async (ctx) => {
        await run(ctx, "ask", () => 1);
        const got = await ctx.step.waitForEvent("for", {
          event: `${app}/advice`, if: "event.data.run_id == async.data.about", timeout: "1h",
        });
        await ctx.step.sleep("think", "1s");
        return run(ctx, "advised", () => got.data.say);
      },
    }),

    on("once", async (ctx) => {
      await ctx.step.sendEvent("tell", { name: `${app}/told-once`, data: { n: 5, from: ctx.runId } });
      return run(ctx, "after", () => "told");
    }),
    on("told-once", (ctx) => run(ctx, "got", () => ctx.event.data.n)),

    // Work for the kill test with everything in the mix.
    on("mix-wait", async (ctx) => {
      await run(ctx, "k1", () => 1);
      const go = await ctx.step.waitForEvent("for", { event: "mix/go", match: "data.n", timeout: "1h" });
      return run(ctx, "k2", () => ({ n: go.data.n, go: go.id }));
    }, { retries: 20 }),
    on("mix-invoke", async (ctx) => {
      await run(ctx, "k1", () => 1);
      const callee = referenceFunction({ appId: "raw", functionId: "mix-child" });
      const got = await ctx.step.invoke("call", { function: callee, data: { n: ctx.event.data.n } });
      return run(ctx, "k2", () => got);
    }, { retries: 20 }),
    on("mix-child", async (ctx) => {
      await run(ctx, "k1", () => 1);
      await ctx.step.sleep("nap", "1s");
      return run(ctx, "k2", () => ({ n: 2 * ctx.event.data.n }));
    }, { retries: 20 }),
    on("mix-cancel", async (ctx) => {
      for (let i = 1; i <= 200; i++) {
        await run(ctx, `k${i}`, () => new Promise((done) => setTimeout(done, 30)));
        await ctx.step.sleep(`nap${i}`, "1s");
      }
    }, { retries: 20, cancelOn: [{ event: "mix/stop", match: "data.n" }] }),
  ];
}

/** A function that a clock starts. The other tests do without it. */
export function clockwork({ define, run }) {
  return define({ id: "clock", retries: 3 }, { cron: "* * * * *" }, (ctx) =>
    run(ctx, "tick", () => ({ name: ctx.event.name, cron: ctx.event.data.cron })));
}
