// The endpoints on Node's own HTTP server, with one of the SDK's adapters. The
// function that they invoke is served beside them.
import http from "node:http";
import { Inngest, NonRetriableError, referenceFunction, step } from "inngest";
import { endpointAdapter as edge } from "inngest/edge";
import { getAsyncCtx } from "inngest/experimental";
import { endpointAdapter as node, serve, serveEndpoint } from "inngest/node";
import { endpoints, withBody } from "../ts/endpoints.mjs";
import { openLog } from "../ts/server.mjs";

const app = "node";
const adapter = process.env.ADAPTER === "edge" ? edge : node;
const options = {};
if (process.env.RETRIES) options.retries = Number(process.env.RETRIES);
if (process.env.PROXIED) options.asyncRedirectUrl = "/poll";
const client = new Inngest({ id: app, endpointAdapter: adapter.withOptions(options) });
const handlers = endpoints({
  app,
  log: openLog(process.env.APP_LOG),
  sdk: { NonRetriableError, getAsyncCtx, referenceFunction, step },
});
const routes = new Map([["/ready", (req, res) => res.end("ready\n")]]);
for (const [name, handler] of Object.entries(handlers)) {
  const endpoint = client.endpoint(handler);
  routes.set(`/api/${name}`, serveEndpoint(name === "echo" ? withBody(endpoint) : endpoint));
}
routes.set("/api/unread", serveEndpoint(client.endpoint(handlers.echo)));
// What a client can be sent to in place of Pawl: it asks there, and takes one layer
// of JSON off.
const poll = client.endpointProxy();
routes.set("/poll", process.env.ADAPTER === "edge" ? serveEndpoint(poll) : poll);
routes.set("/api/inngest", serve({
  client,
  functions: [
    client.createFunction({ id: "double", triggers: [{ event: `${app}/double` }] }, async (ctx) => {
      const n = await ctx.step.run("work", () => 2 * ctx.event.data.n);
      return { n };
    }),
  ],
}));

http
  .createServer((req, res) => {
    const serve = routes.get(new URL(req.url, "http://localhost").pathname);
    if (serve) return serve(req, res);
    res.writeHead(404).end();
  })
  .listen(Number(process.env.PORT), "127.0.0.1");
// See ../ts/server.mjs.
process.on("unhandledRejection", (err) => console.error("unhandled rejection:", err));
process.on("SIGTERM", () => process.exit(0));
