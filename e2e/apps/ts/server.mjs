// The HTTP side that both TypeScript apps share: the SDK's handler, /ready for
// the test that started the app, and /send, which sends an event with the SDK.
import fs from "node:fs";
import http from "node:http";

/** Opens the app log. Each line is one write to a file opened for appending. */
export function openLog(path) {
  const fd = fs.openSync(path, "a");
  return (line) => fs.writeSync(fd, `${JSON.stringify({ ...line, t: Date.now() })}\n`);
}

/** Serves the SDK's handler until the process is told to stop. */
export function listen({ client, handler, port }) {
  const server = http.createServer((req, res) => {
    if (req.url === "/ready") return res.end("ready\n");
    if (req.url === "/send") return send(client, req, res);
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
