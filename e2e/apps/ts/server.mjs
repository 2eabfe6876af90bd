// The HTTP side that both TypeScript apps share: the SDK's handler, /ready for
// the test that started the app, /send, which sends an event with the SDK,
// /release, which opens a gate, and /break, which breaks the app.
import fs from "node:fs";
import http from "node:http";

/** Opens the app log. Each line is one write to a file opened for appending. */
export function openLog(path) {
  const fd = fs.openSync(path, "a");
  return (line) => fs.writeSync(fd, `${JSON.stringify({ ...line, t: Date.now() })}\n`);
}

const gates = new Map();

function gate(name) {
  if (!gates.has(name)) {
    const g = {};
    g.opened = new Promise((open, fail) => Object.assign(g, { open, fail }));
    g.opened.catch(() => {}); // whoever is held up hears of it
    setTimeout(() => g.fail(new Error(`nobody has opened the gate ${name}`)), 120_000).unref();
    gates.set(name, g);
  }
  return gates.get(name);
}

/** Waits until the test has opened a gate with /release?gate=NAME. */
export const held = (name) => gate(name).opened;

/**
 * Serves the SDK's handler until the process is told to stop. After
 * /break?status=503 everything is answered with that instead, until /break?status=0.
 */
export function listen({ client, handler, log, port }) {
  let broken = 0;
  const server = http.createServer((req, res) => {
    if (req.url === "/ready") return res.end("ready\n");
    if (req.url === "/send") return send(client, req, res);
    const { pathname, searchParams } = new URL(req.url, "http://app");
    if (pathname === "/release") {
      gate(searchParams.get("gate")).open();
      return res.end("open\n");
    }
    if (pathname === "/break") {
      broken = Number(searchParams.get("status"));
      return res.end(`${broken}\n`);
    }
    if (broken) {
      log({ run: req.headers["x-run-id"] ?? "", what: "broken" });
      res.statusCode = broken;
      return res.end("out of order\n");
    }
    return handler(req, res);
  });
  server.listen(port, "127.0.0.1");
  // A request that is cut while its body arrives is a rejection that the SDK
  // handles nowhere (4.24); the kill tests cut many.
  process.on("unhandledRejection", (err) => console.error("unhandled rejection:", err));
  process.on("SIGTERM", () => process.exit(0));
}

async function send(client, req, res) {
  try {
    const chunks = [];
    for await (const chunk of req) chunks.push(chunk);
    const sent = await client.send(JSON.parse(Buffer.concat(chunks).toString()));
    res.end(JSON.stringify(sent));
  } catch (err) {
    res.statusCode = 502;
    res.end(JSON.stringify({ error: String(err) }));
  }
}
