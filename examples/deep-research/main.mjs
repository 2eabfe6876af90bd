// Starts the app: the endpoint, its page, and, unless LIBRARY_URL says where it is, the
// library.
import fs from "node:fs";
import http from "node:http";
import { serveEndpoint } from "inngest/node";
import { library } from "./library.mjs";
import { client, research } from "./research.mjs";

const port = Number(process.env.PORT ?? 3000);
const libraryPort = Number(process.env.LIBRARY_PORT ?? 3001);
const libraryURL = process.env.LIBRARY_URL ?? `http://127.0.0.1:${libraryPort}`;
const maxBody = 16 << 10;

// Browsers read on at the address under which the app knows Pawl.
const pawl = new URL(client.apiBaseUrl).href.replace(/\/$/, "");
const types = { html: "text/html", css: "text/css", js: "text/javascript" };
const headers = {
  "cache-control": "no-cache",
  "content-security-policy":
    `default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self' ${new URL(pawl).origin}; ` +
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};
const files = new Map(
  ["page.html", "page.css", "page.js", "stream.js"].map((name) => {
    const text = fs.readFileSync(new URL(`page/${name}`, import.meta.url), "utf8");
    return [name === "page.html" ? "/" : `/${name}`, { type: types[name.split(".")[1]], text: text.replace("{{pawl}}", pawl.replaceAll("&", "&amp;").replaceAll('"', "&quot;")) }];
  }),
);

const reply = (res, status, body) => {
  res.writeHead(status, { "content-type": "application/json" });
  res.end(JSON.stringify(body));
};

/** Reads a body of JSON that is not too long; other origins cannot send that type unasked. */
async function json(req) {
  if (!req.headers["content-type"]?.startsWith("application/json")) throw new Error("want a body of application/json");
  let text = "";
  for await (const chunk of req) {
    text += chunk;
    if (text.length > maxBody) throw new Error("the body is too long");
  }
  return JSON.parse(text);
}

const routes = {
  "POST /research": serveEndpoint(research),

  // {"id", "approved", "keep": [0, 2]}: what the reader says to the plan. An answer that
  // comes before the endpoint waits for it is heard by nobody: the page sends it again
  // until the stream says that it was heard.
  "POST /answer": async (req, res) => {
    const { id, approved, keep } = await json(req);
    if (typeof id !== "string" || typeof approved !== "boolean") throw new Error('want {"id", "approved"}');
    await client.send({ name: "research/answered", data: { id, approved, keep } });
    reply(res, 202, {});
  },

  // Passed on to the library.
  "POST /behaviour": async (req, res) => {
    const got = await fetch(`${libraryURL}/behaviour`, { method: "POST", body: JSON.stringify(await json(req)) });
    reply(res, got.status, await got.json());
  },
};

if (!process.env.LIBRARY_URL) library.listen(libraryPort, "127.0.0.1");
http
  .createServer(async (req, res) => {
    const { pathname } = new URL(req.url, "http://localhost");
    const file = files.get(pathname);
    if (file && (req.method === "GET" || req.method === "HEAD")) {
      res.writeHead(200, { ...headers, "content-type": `${file.type}; charset=utf-8` });
      return res.end(req.method === "GET" ? file.text : undefined);
    }
    const route = routes[`${req.method} ${pathname}`];
    if (!route) return reply(res, 404, { error: "there is nothing here" });
    try {
      if (Number(req.headers["content-length"] ?? 0) > maxBody) throw new Error("the body is too long");
      await route(req, res);
    } catch (err) {
      if (!res.headersSent) reply(res, 400, { error: err.message });
    }
  })
  .listen(port, "127.0.0.1", () => {
    console.log(`research  http://127.0.0.1:${port}/`);
    if (!process.env.LIBRARY_URL) console.log(`library   http://127.0.0.1:${libraryPort}/`);
  });

process.on("SIGTERM", () => process.exit(0));
