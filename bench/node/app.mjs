// An endpoint of three steps under load: as the SDK runs it, or, with BARE set, the
// same handler without it.
import http from "node:http";
import { Inngest, step as durable } from "inngest";
import { endpointAdapter, serveEndpoint } from "inngest/node";

const bare = Boolean(process.env.BARE);
const client = new Inngest({ id: "bench", endpointAdapter });
const step = bare ? { run: async (_, work) => work() } : durable;
const pad = "x".repeat(80); // of about 100 bytes, as the results of the other cases

const handler = async (req) => {
  const n = Number(new URL(req.url).searchParams.get("n"));
  const a = await step.run("a", async () => ({ n, pad }));
  const b = await step.run("b", async () => ({ n: a.n + 1, pad }));
  const c = await step.run("c", async () => ({ n: b.n + 1, pad }));
  return Response.json({ n: c.n });
};

const server = http.createServer(serveEndpoint(bare ? handler : client.endpoint(handler)));
server.keepAliveTimeout = 60_000; // the clients use their connections again
server.listen(0, "127.0.0.1", () => console.log(`url http://127.0.0.1:${server.address().port}/`));

// It ends when whoever has started it does.
process.stdin.on("end", () => process.exit(0)).resume();
process.on("SIGTERM", () => process.exit(0));
