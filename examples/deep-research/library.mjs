// A small library to search and to read in: the texts of corpus/, in passages. It can
// be told to be slow or out of order, and it counts who has asked for what, so that one
// can see whether anything was done twice.
import fs from "node:fs";
import http from "node:http";
import MiniSearch from "minisearch";
import { terms } from "./words.mjs";

const shelf = new Map(); // id, such as compass/2 → { id, title, text }
for (const file of fs.readdirSync(new URL("corpus/", import.meta.url))) {
  const [title, ...passages] = fs.readFileSync(new URL(`corpus/${file}`, import.meta.url), "utf8").trim().split(/\n\s*\n/);
  passages.forEach((text, i) => {
    const id = `${file.replace(/\.txt$/, "")}/${i + 1}`;
    shelf.set(id, { id, title, text: text.replaceAll("\n", " ") });
  });
}
const index = new MiniSearch({ fields: ["title", "text"], storeFields: ["title"], tokenize: terms, searchOptions: { boost: { title: 2 } } });
index.addAll([...shelf.values()]);

const maxCounts = 1000; // who has asked is forgotten, the oldest first
let counts; // for whom → { searches, readings }
let behaviour; // { delay: ms, after: readings that go well, down: readings that fail then }

function reset() {
  counts = new Map();
  behaviour = { delay: Number(process.env.LIBRARY_DELAY ?? 400), after: 0, down: 0 };
}
reset();

function count(who, what) {
  const of = counts.get(who) ?? { searches: 0, readings: 0 };
  of[what]++;
  counts.set(who, of);
  if (counts.size > maxCounts) counts.delete(counts.keys().next().value);
}

/**
 * GET /search?q=…&n=… finds the n best passages, GET /passages/<id> gives one; for=…
 * says for whom. GET / shows the counts. POST /behaviour {"down": 1, "after": 2}
 * lets one reading fail after the next two, {"delay": 400} is how long one takes in ms.
 * DELETE / forgets both.
 */
export const library = http.createServer(async (req, res) => {
  const answer = (status, body) => {
    res.writeHead(status, { "content-type": "application/json" });
    res.end(JSON.stringify(body));
  };
  const url = new URL(req.url, "http://localhost");
  const who = url.searchParams.get("for") ?? "somebody";
  if (url.pathname === "/search") {
    count(who, "searches");
    const found = index.search(url.searchParams.get("q") ?? "");
    return answer(200, found.slice(0, Number(url.searchParams.get("n") ?? 3)).map(({ id, title, score }) => ({ id, title, score })));
  }
  if (url.pathname.startsWith("/passages/")) {
    const passage = shelf.get(url.pathname.slice("/passages/".length));
    await new Promise((done) => setTimeout(done, behaviour.delay));
    if (behaviour.after > 0) behaviour.after--;
    else if (behaviour.down > 0) {
      behaviour.down--;
      return answer(503, { error: "the reading room is closed for a moment" });
    }
    count(who, "readings");
    return passage ? answer(200, passage) : answer(404, { error: "there is no such passage" });
  }
  if (url.pathname === "/behaviour" && req.method === "POST") {
    let text = "";
    for await (const chunk of req) text += chunk;
    try {
      for (const [name, value] of Object.entries(JSON.parse(text))) {
        if (!(name in behaviour) || !Number.isInteger(value) || value < 0) throw new Error(`${name}: want delay, after or down, from 0`);
        behaviour[name] = value;
      }
      return answer(200, behaviour);
    } catch (err) {
      return answer(400, { error: err.message });
    }
  }
  if (url.pathname === "/" && req.method === "DELETE") {
    reset();
    return answer(200, {});
  }
  if (url.pathname === "/") return answer(200, Object.fromEntries(counts));
  return answer(404, { error: "no such thing" });
});

// Also a program of its own, so that it can outlive the app.
if (process.argv[1] === import.meta.filename) {
  library.listen(Number(process.env.LIBRARY_PORT ?? 3001), "127.0.0.1");
}
