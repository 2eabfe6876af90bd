// Starts the app: the endpoint, a page to book and to approve on, and, unless
// PROVIDERS_URL says where they are, the providers.
import http from "node:http";
import { serveEndpoint } from "inngest/node";
import { page } from "./page.mjs";
import { providers } from "./providers.mjs";
import { bookTrip, client } from "./trip.mjs";

const port = Number(process.env.PORT ?? 3000);
const providersPort = Number(process.env.PROVIDERS_PORT ?? 3001);

const book = serveEndpoint(bookTrip);

/** Serves POST /answer {"id", "approved"}: what the person who is asked says. */
async function answer(req, res) {
  let text = "";
  for await (const chunk of req) text += chunk;
  try {
    const { id, approved } = JSON.parse(text);
    if (typeof id !== "string" || typeof approved !== "boolean") throw new Error('want {"id", "approved"}');
    await client.send({ name: "trip/answered", data: { id, approved } });
    res.writeHead(202).end();
  } catch (err) {
    res.writeHead(400, { "content-type": "application/json" }).end(JSON.stringify({ error: err.message }));
  }
}

if (!process.env.PROVIDERS_URL) providers.listen(providersPort, "127.0.0.1");
http
  .createServer((req, res) => {
    const { pathname } = new URL(req.url, "http://localhost");
    if (pathname === "/book") return book(req, res);
    if (pathname === "/answer" && req.method === "POST") return answer(req, res);
    if (pathname === "/") return page(req, res);
    res.writeHead(404).end();
  })
  .listen(port, "127.0.0.1", () => {
    console.log(`trips      http://127.0.0.1:${port}/`);
    if (!process.env.PROVIDERS_URL) console.log(`providers  http://127.0.0.1:${providersPort}/`);
  });

process.on("SIGTERM", () => process.exit(0));
