// A durable endpoint that streams, on the TypeScript SDK, version 4. It tells in its
// log which runs of a step have succeeded.
import { Inngest, NonRetriableError, step } from "inngest";
import { stream } from "inngest/experimental/durable-endpoints";
import { createEndpointServer, endpointAdapter } from "inngest/node";
import { openLog } from "../ts/server.mjs";

const client = new Inngest({ id: "streaming", endpointAdapter });
const log = openLog(process.env.APP_LOG);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const runs = {}; // how often each step of each request has run

// A step streams tokens that no other run of it streams.
const talk = (of, name, tokens, ms, fails) =>
  step.run(name, async () => {
    const key = `${of} ${name}`;
    const n = (runs[key] = (runs[key] ?? 0) + 1);
    for (let i = 1; i <= tokens; i++) {
      stream.push(`${name} run ${n} token ${i}`);
      await pause(ms);
      if (n <= fails && i === tokens - 1) throw new Error(`${name} fails`);
    }
    await stream.pipe((async function* () {
      for (const word of ["and", "so", "on"]) yield `${name} run ${n} ${word}`;
    })());
    log({ run: of, what: "said", step: name, attempt: n });
    return n;
  });

const handler = client.endpoint(async (req) => {
  const url = new URL(req.url);
  const of = url.searchParams.get("of");
  const ms = Number(url.searchParams.get("ms") ?? 20);
  stream.push(`${of} begins`);
  await talk(of, "direct", 4, ms, 0);
  await step.sleep("nap", "1s");
  await talk(of, "flaky", 4, ms, 1);
  stream.push(`${of} goes on`);
  const sides = await Promise.all([talk(of, "left", 6, ms, 0), talk(of, "right", 6, ms, 1)]);
  await step.sleep("second nap", "1s");
  const last = await talk(of, "last", 4, ms, 0);
  if (url.searchParams.has("fail")) throw new NonRetriableError("it was all for nothing");
  stream.push(`${of} ends`);
  return Response.json({ of, runs: [...sides, last] }, { status: 201, headers: { "x-of": of } });
});

const server = createEndpointServer((req) => (new URL(req.url).pathname === "/ready" ? new Response("ready\n") : handler(req)));
server.listen(Number(process.env.PORT), "127.0.0.1");
process.on("unhandledRejection", (err) => console.error("unhandled rejection:", err));
process.on("SIGTERM", () => process.exit(0));
