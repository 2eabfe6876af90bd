import "./app.css";
import { askAhead, base, queryText, runsAsked } from "./api/ask";
import type { Row, Schemas } from "./api/client";
import { cameScrolled, drawFirst } from "./lib/begun";
import { parse } from "./lib/filter";
import { findKeys } from "./lib/platform";
import { detail, rowHeight, took } from "./lib/runs";
import { ago, clock, shown } from "./lib/text";
import { applyTheme, keptTheme } from "./lib/theme";

// What a page begins with. A list of runs is drawn here, in about half of the time that the
// dashboard takes to be compiled and to draw the same.
//
// How it looks is not said twice. The build has the dashboard itself draw the page and a row
// of each kind (scripts/first.mjs), and keeps them in index.html, as templates. Here they
// are filled with what the server answers, by the same words (lib/runs.ts). Then the
// dashboard takes its place, pixel for pixel.

/** How long the page waits for its rows and its fonts, in milliseconds, before it is drawn without. */
const patience = 50;

/** What is above the rows is at least so high, in pixels. */
const headHeight = 90;

function template(id: string): DocumentFragment | undefined {
  const found = document.getElementById(id);
  return found instanceof HTMLTemplateElement ? styled(document.importNode(found.content, true)) : undefined;
}

/** The policy allows no styles in markup; the build has put them aside. */
function styled<T extends ParentNode>(part: T): T {
  for (const element of part.querySelectorAll<HTMLElement>("[data-css]")) {
    element.style.cssText = element.dataset.css!;
    delete element.dataset.css;
  }
  return part;
}

/** The page with nothing in its list yet. */
function frame(filter: string, statuses: readonly string[]): DocumentFragment | undefined {
  const page = template("first-runs");
  if (!page) return undefined;
  page.querySelector("[data-search]")!.setAttribute("value", filter);
  for (const button of page.querySelectorAll("[aria-pressed]")) {
    const on = button.textContent === "All" ? statuses.length === 0 : statuses.includes(button.textContent!);
    button.setAttribute("aria-pressed", String(on));
  }
  for (const kbd of page.querySelectorAll("kbd")) kbd.textContent = findKeys;
  for (const link of page.querySelectorAll('a[href^="/"]')) link.setAttribute("href", base + link.getAttribute("href"));
  return page;
}

/** The first rows, as many as are seen; nothing, when there is a kind that the build did not know. */
function list({ runs, cursor }: Schemas["Found"]): Element | undefined {
  const list = template("first-rows")?.firstElementChild;
  const place = list?.firstElementChild;
  if (!list || !place || runs.length === 0) return undefined;
  const kinds = new Map([...place.children].map((row) => [row.getAttribute("data-kind"), row as HTMLElement]));
  const high = rowHeight();
  const now = Date.now();
  (list as HTMLElement).style.height = `${runs.length * high}px`;
  const rows: HTMLElement[] = [];
  for (const [i, run] of runs.slice(0, Math.ceil((innerHeight - headHeight) / high)).entries()) {
    const row = kinds.get(kindOf(run))?.cloneNode(true) as HTMLElement | undefined;
    if (!row) return undefined;
    row.removeAttribute("data-kind");
    row.setAttribute("aria-setsize", String(cursor ? -1 : runs.length));
    row.setAttribute("aria-posinset", String(i + 1));
    row.style.height = `${high}px`;
    fill(row.firstElementChild!, run, i, now);
    rows.push(row);
  }
  place.replaceChildren(...rows);
  return list;
}

/** What a row looks like depends on; what is in it does not. */
const kindOf = (run: Row) => run.status + (run.problem ? "!" : "");

function fill(link: Element, run: Row, index: number, now: number) {
  link.setAttribute("href", `${base}/runs/${run.run_id}`);
  link.setAttribute("data-row", String(index));
  const [, name, about, lasted, time] = link.children;
  name!.textContent = shown(run.function);
  about!.textContent = shown(detail(run));
  lasted!.textContent = took(run, now);
  time!.textContent = ago(run.queued_at, now);
  time!.setAttribute("datetime", run.queued_at);
  time!.setAttribute("title", clock(run.queued_at));
}

/** Waits until what is drawn is painted: nothing may be in its way. */
const painted = () =>
  new Promise<void>((done) => {
    const look = new PerformanceObserver((list) => list.getEntriesByName("first-contentful-paint").length > 0 && done());
    look.observe({ type: "paint", buffered: true });
  });

const pause = (time: number) => new Promise<void>((done) => setTimeout(done, time));

const fonts = { text: '1em "Inter Variable"', code: '1em "JetBrains Mono Variable"' };

/** Has the browser fetch the dashboard, and what the page needs of it, which is not compiled before it is wanted. */
function fetchNext() {
  const page = location.href.slice(base.length + 1);
  for (const link of document.querySelectorAll<HTMLElement>("link[data-next]"))
    if (page.startsWith(link.dataset.next!)) link.setAttribute("rel", "preload");
}

/** Draws the list of runs, if it is what is to be seen. */
async function draw() {
  if (location.href.replace(/[?#].*/, "") !== `${base}/runs` || cameScrolled()) {
    void document.fonts.load(fonts.code); // most pages have some
    return;
  }
  const filter = new URLSearchParams(location.search).get("q") ?? "";
  const { search } = parse(filter);
  const page = frame(filter, search.status ?? []);
  if (!page) return;
  const place = page.querySelector("#content [role=status]")!;
  // What is not as usual, the dashboard shows: nothing there, nobody logged in, no answer.
  let usual = true;
  const unusual = () => {
    usual = false;
  };
  const answered = askAhead(`${base}/v1/runs/search?${queryText(runsAsked(search))}`)
    .then(async (answer) => {
      const rows = answer.ok ? list(((await answer.json()) as { data: Schemas["Found"] }).data) : undefined;
      if (rows) place.replaceWith(rows);
      else unusual();
    }, unusual)
    .catch((error) => {
      unusual();
      console.error(error);
    });
  // Without the fonts that are seen, all would be laid out twice.
  const seen = filter ? [fonts.text, fonts.code] : [fonts.text];
  await Promise.race([Promise.allSettled([answered, ...seen.map((font) => document.fonts.load(font))]), pause(patience)]);
  if (!usual) return;
  document.title = "Runs · Pawl";
  drawFirst(page);
  document.body.getBoundingClientRect(); // it is laid out while the browser gets ready for its frame
  requestAnimationFrame(() => setTimeout(fetchNext));
  await Promise.race([painted(), pause(4 * patience)]);
}

applyTheme(keptTheme());
void draw()
  .catch(console.error) // the dashboard draws it, then
  .then(() => {
    fetchNext();
    return import("./main");
  });
