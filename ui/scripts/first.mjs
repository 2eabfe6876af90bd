// Puts into the built index.html, as templates, how the list of runs looks: what the built
// dashboard itself draws, in happy-dom, before the server has answered and after. src/first.ts
// fills them, so that a page is there before the dashboard is.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Window } from "happy-dom";

const root = new URL("..", import.meta.url).pathname;
const out = process.env.PAWL_UI_OUT ?? join(root, "../internal/webui/dist");
const server = "http://pawl.invalid";
const at = "2026-01-02T03:04:05.678Z";

// What the dashboard needs of a browser.
const page = new Window({ url: `${server}/runs`, width: 1440, height: 900 });
page.document.write('<!doctype html><html><head><base href="/"></head><body><div id="root"></div></body></html>');
const own = new Set(["navigator", "Event", "EventTarget", "CustomEvent", "addEventListener", "removeEventListener", "dispatchEvent"]);
for (const name of [...Object.getOwnPropertyNames(page), ...Object.getOwnPropertyNames(Object.getPrototypeOf(page))]) {
  if (name in globalThis && !own.has(name)) continue;
  const value = page[name];
  const kept = typeof value === "function" && !/^[A-Z]/.test(name) ? value.bind(page) : value;
  Object.defineProperty(globalThis, name, { value: kept, configurable: true, writable: true });
}
globalThis.window = globalThis.self = globalThis;
page.document.fonts = { load: () => Promise.resolve([]) };
globalThis.EventSource = class {
  addEventListener() {}
};
let answer = () => {};
globalThis.fetch = (request) => {
  if (!String(request.url ?? request).includes("/v1/runs/search")) return new Promise(() => {});
  return new Promise((done) => {
    answer = (body) => done(new Response(JSON.stringify(body), { headers: { "Content-Type": "application/json" } }));
  });
};

/** Waits until the page has what it is asked for. */
async function drawn(selector) {
  for (let i = 0; i < 1000; i++) {
    const found = page.document.querySelector(selector);
    if (found) return found;
    await new Promise((next) => setTimeout(next, 10));
  }
  throw new Error(`the dashboard did not draw ${selector}: ${page.document.body.innerHTML.slice(0, 500)}`);
}

/** As it is written into the page: the server's address is not known, and the policy allows no styles in markup. */
const markup = (html) =>
  html.replaceAll(`href="${server}`, 'href="').replaceAll(' style="', ' data-css="').replaceAll(' xmlns="http://www.w3.org/2000/svg"', "");

// Node takes a file for a module when its directory says so.
const built = mkdtempSync(join(tmpdir(), "pawl-first-"));
cpSync(join(out, "assets"), built, { recursive: true });
writeFileSync(join(built, "package.json"), '{"type":"module"}');
const index = join(out, "index.html");
const html = readFileSync(index, "utf8");
await import(join(built, /src="\.\/assets\/([\w-]+\.js)"/.exec(html)[1]));

await drawn("#content [role=status]");
const frame = page.document.getElementById("root").innerHTML;
// A run of each kind that looks otherwise than others: the list's own buttons say which statuses there are.
const statuses = [...page.document.querySelectorAll("#content [aria-pressed]")].map((button) => button.textContent).slice(1);
const samples = statuses.flatMap((status) =>
  [undefined, "problem"].map((problem, i) => ({
    kind: status + (problem ? "!" : ""),
    run: {
      app: "app",
      function: "function",
      event_id: "event",
      event_name: "name",
      run_id: status + i,
      queued_at: at,
      started_at: null,
      ended_at: null,
      status,
      problem,
    },
  })),
);

answer({ data: { runs: samples.map((sample) => sample.run) } });
const list = await drawn("#content [role=list]");
for (const row of list.querySelectorAll("[role=listitem]")) {
  const id = row.querySelector("a").getAttribute("href").split("/").at(-1);
  row.setAttribute("data-kind", samples.find((sample) => sample.run.run_id === id).kind);
}
if (list.querySelectorAll("[data-kind]").length !== samples.length) throw new Error("the dashboard did not draw all kinds of rows");

const templates = `<template id="first-runs">${markup(frame)}</template><template id="first-rows">${markup(list.outerHTML)}</template>`;
if (html.includes("first-runs") || !html.includes("</body>")) throw new Error("index.html is not as it was built");
writeFileSync(
  index,
  html.replace("</body>", () => `${templates}</body>`),
);
rmSync(built, { recursive: true });
process.exit(0); // the dashboard would go on
