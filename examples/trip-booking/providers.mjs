// The airline, the hotel, the bank and the person who approves: each a list of what
// was booked, by id. They can be told to fail. What comes twice under one id is kept
// once and counted, so that one can see whether anything was done twice.
import http from "node:http";

const kinds = ["flight", "hotel", "payment", "approvals"];
let books; // kind → id → { details, calls }
let behaviour; // kind → { down: how many calls fail, refuse: for good, delay: ms }

function reset() {
  books = Object.fromEntries(kinds.map((kind) => [kind, new Map()]));
  behaviour = {};
}
reset();

/**
 * GET / shows everything. POST /behaviour {"payment": {"down": 2}} changes how a
 * provider behaves: down is the number of calls that fail, refuse (a text) refuses
 * every booking for good, delay makes it slow. DELETE / forgets everything.
 */
export const providers = http.createServer(async (req, res) => {
  const answer = (status, body) => {
    res.writeHead(status, { "content-type": "application/json" });
    res.end(JSON.stringify(body));
  };
  let text = "";
  for await (const chunk of req) text += chunk;
  if (req.url === "/" && req.method === "GET") {
    return answer(200, Object.fromEntries(kinds.map((kind) => [kind, Object.fromEntries(books[kind])])));
  }
  if (req.url === "/" && req.method === "DELETE") {
    reset();
    return answer(200, {});
  }
  if (req.url === "/behaviour") {
    behaviour = JSON.parse(text);
    return answer(200, behaviour);
  }
  const [, kind, id] = req.url.split("/");
  if (!books[kind] || !id) return answer(404, { error: "no such provider" });
  const how = behaviour[kind] ?? {};
  await new Promise((done) => setTimeout(done, how.delay ?? 0));
  if (how.down > 0) {
    how.down--;
    return answer(503, { error: "out of order" });
  }
  if (req.method === "DELETE") {
    books[kind].delete(id);
    return answer(200, { id });
  }
  if (how.refuse) return answer(409, { error: how.refuse });
  const known = books[kind].get(id);
  if (known) known.calls++;
  else books[kind].set(id, { details: JSON.parse(text), calls: 1 });
  return answer(200, { id });
});

// Also a program of its own, so that it can outlive the app.
if (process.argv[1] === import.meta.filename) {
  providers.listen(Number(process.env.PROVIDERS_PORT ?? 3001), "127.0.0.1");
}
