// Durable endpoints that the end-to-end tests call, with every adapter. What an
// endpoint does is in its query, which has to be the same when Pawl enters it
// again: key tells one request from the others in the log.

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/**
 * Returns the handlers by name. app is the id of the app with the function
 * double, which invoke calls; log writes one line of the app log.
 */
export function endpoints({ app, log, sdk: { NonRetriableError, getAsyncCtx, referenceFunction, step } }) {
  const failed = new Map(); // how often a place has failed, since the process started

  // fail throws the first n times that a request comes here.
  const fail = (place, n) => {
    const count = (failed.get(place) ?? 0) + 1;
    failed.set(place, count);
    if (count <= n) throw new Error(`${place} fails, ${count} of ${n}`);
  };

  // Each handler gets what it needs of the request: its query, and log lines.
  const handler = (serve) => async (req, ...rest) => {
    const query = new URL(req.url).searchParams;
    const key = query.get("key");
    const { ctx } = (await getAsyncCtx()).execution;
    const say = (what, name) => log({ run: ctx.runId, key, what, step: name });
    const run = (name, work = () => name) =>
      step.run(name, async () => {
        say("start", name);
        const got = await work();
        say("end", name);
        return got;
      });
    say("enter");
    return serve({ key, query, req, rest, run, say, n: Number(query.get("n") ?? 0), ms: Number(query.get("ms") ?? 0) });
  };

  return {
    // Three steps, and an answer that is not like every other.
    plain: handler(async ({ key, run }) => {
      const a = await run("a", () => 1);
      const b = await run("b", () => a + 1);
      const c = await run("c", () => a + b);
      return new Response(`${key}: ${a} ${b} ${c}\n`, {
        status: 201,
        headers: { "content-type": "text/plain; charset=utf-8", "x-trip": "there and back" },
      });
    }),

    nothing: handler(async ({ key }) => Response.json({ key }, { status: 202 })),

    // Steps that take their time, so that somebody can be killed in between. With for,
    // they come after a sleep.
    slow: handler(async ({ key, n, ms, query, run }) => {
      if (query.has("for")) await step.sleep("nap", query.get("for"));
      const seen = [];
      for (let i = 1; i <= n; i++) seen.push(await run(`s${i}`, () => pause(ms).then(() => i)));
      return Response.json({ key, seen });
    }),

    // The second step fails n times.
    flaky: handler(async ({ key, n, run }) => {
      const a = await run("a", () => 1);
      const b = await run("b", () => {
        fail(`${key} b`, n);
        return a + 1;
      });
      const c = await run("c", () => a + b);
      return Response.json({ key, c }, { status: 201 });
    }),

    // A step that never succeeds is made up for.
    caught: handler(async ({ key, run }) => {
      await run("book", () => "booked");
      try {
        await run("pay", () => fail(`${key} pay`, 1000));
      } catch (err) {
        const undone = await run("undo", () => "undone");
        return Response.json({ key, undone, why: err.message }, { status: 409 });
      }
      return Response.json({ key });
    }),

    // The handler itself fails n times, between steps.
    broken: handler(async ({ key, n, run, say }) => {
      const a = await run("a", () => 1);
      say("body", "between");
      fail(`${key} between`, n);
      const b = await run("b", () => a + 1);
      return Response.json({ key, b });
    }),

    refused: handler(async ({ key, run }) => {
      await run("a", () => 1);
      throw new NonRetriableError(`${key} is refused`);
    }),

    nap: handler(async ({ key, query, run }) => {
      const a = await run("a", () => 1);
      await step.sleep("nap", query.get("for") ?? "1s");
      const b = await run("b", () => a + 1);
      return Response.json({ key, b }, { status: 201, headers: { "x-trip": "there and back" } });
    }),

    approval: handler(async ({ key, query, run }) => {
      await run("ask", () => 1);
      const answer = await step.waitForEvent("approval", {
        event: "trip/approval",
        if: `async.data.key == ${JSON.stringify(key)}`,
        timeout: query.get("for") ?? "1h",
      });
      if (answer === null) return Response.json({ key, expired: true }, { status: 408 });
      const done = await run(answer.data.approved ? "book" : "decline");
      return Response.json({ key, done });
    }),

    invoke: handler(async ({ key, n, run }) => {
      await run("a", () => 1);
      const got = await step.invoke("double", { function: referenceFunction({ appId: app, functionId: "double" }), data: { n } });
      await run("b", () => 1);
      return Response.json({ key, got });
    }),

    parallel: handler(async ({ key, ms, run }) => {
      const both = await Promise.all([
        run("left", () => pause(ms).then(() => "l")),
        run("right", () => pause(ms).then(() => "r")),
      ]);
      const after = await run("after", () => both.join(""));
      return Response.json({ key, after });
    }),

    // What the client sent, once read in the first request and once again.
    echo: handler(async ({ key, query, req, rest, run }) => {
      const sent = await body(rest[0] ?? req);
      await run("a", () => 1);
      if (query.has("for")) await step.sleep("nap", query.get("for"));
      await run("b", () => 1);
      return Response.json({ key, method: req.method, query: query.toString(), type: req.headers.get("content-type"), sent });
    }),
  };
}

async function body(req) {
  const text = await req.text();
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/**
 * Makes an endpoint whose handler can read the body. The SDK reads it first, and
 * a body can be read once: so the handler gets a second request beside it.
 */
export const withBody = (endpoint) => (req) => endpoint(req, req.clone());
