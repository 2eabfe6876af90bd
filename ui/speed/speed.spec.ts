import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, chromium, expect, type Page, test } from "@playwright/test";

import config from "../playwright.config";

const base = process.env.PAWL_SPEED!;
const rows = Number(process.env.PAWL_SPEED_ROWS);

type Figure = { what: string; times: number; p50: string; worst: string; budget: string };
const figures: Figure[] = [];
// A test that misses its budget ends its worker, and the next one begins without figures.
test.afterAll(() => {
  const before = readFileSync(process.env.PAWL_SPEED_OUT!, "utf8");
  writeFileSync(process.env.PAWL_SPEED_OUT!, JSON.stringify([...(before ? JSON.parse(before) : []), ...figures]));
});

const ms = (t: number) => `${t.toFixed(0)} ms`;
const quantile = (list: number[], q: number) => [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(q * list.length))]!;

/** A page of text alone: what it takes is the browser's own part in all others. */
const bare = "/bare";

/** Times from the navigation, in milliseconds. */
type Times = {
  /** An element was painted: the frame after the one that it was drawn in has begun. */
  painted: number;
  /** The browser has shown the page, by its own account. */
  shown: number;
  /** The dashboard is there, and answers keys and clicks. */
  live: number;
};

/** Opens a page and has it tell its times. Nothing else is put into it meanwhile, which would take time itself. */
async function times(context: BrowserContext, url: string, selector: string): Promise<Times> {
  const page = await context.newPage();
  await page.addInitScript((wanted) => {
    const at: Partial<Times> = {};
    const tell = () => at.painted && at.shown && at.live && console.log(`times ${JSON.stringify(at)}`);
    new PerformanceObserver((list) => {
      at.shown ??= list.getEntriesByName("first-contentful-paint")[0]?.startTime;
      tell();
    }).observe({ type: "paint", buffered: true });
    let seen = false;
    const watch = new MutationObserver(() => {
      if (!document.querySelector(wanted)) return;
      if (!seen)
        requestAnimationFrame(() =>
          requestAnimationFrame(() => {
            at.painted = performance.now();
            tell();
          }),
        );
      seen = true;
      if (at.live || document.querySelector("#root[aria-busy]")) return;
      at.live = performance.now();
      tell();
    });
    watch.observe(document, { childList: true, subtree: true, attributeFilter: ["aria-busy"] });
  }, selector);
  if (url.endsWith(bare))
    await page.route(url, (route) =>
      route.fulfill({ contentType: "text/html", body: `<!doctype html>${"<p data-row>a run</p>".repeat(30)}` }),
    );
  const told = page.waitForEvent("console", { predicate: (message) => message.text().startsWith("times "), timeout: 60_000 });
  await page.goto(url, { waitUntil: "commit" });
  const text = (await told).text();
  await page.close();
  return JSON.parse(text.slice("times ".length));
}

/** Opens a page again and again, and notes how long it took; returns the middle of that. */
async function repeat(what: string, list: boolean, budget: number, once: () => Promise<Times>) {
  await once(); // the browser itself has started then
  const all: Times[] = [];
  for (let i = 0; i < opened; i++) all.push(await once());
  const note = (which: keyof Times, more: string, limit: string) => {
    const sorted = all.map((t) => t[which]);
    figures.push({ what: what + more, times: opened, p50: ms(quantile(sorted, 0.5)), worst: ms(Math.max(...sorted)), budget: limit });
  };
  note("painted", "", ms(budget));
  if (list) {
    note("shown", ": shown, says the browser", ms(budget));
    note("live", ": the dashboard answers keys and clicks", "–");
  }
  return quantile(
    all.map((t) => t.painted),
    0.5,
  );
}

const opened = 15; // times

// Who opens the page the first time gets all of it; who comes again has it, and the
// browser has compiled it.
const pages = [
  ["30 lines of text, without the dashboard", bare, "[data-row]", 300],
  ["list of runs: first rows", "/runs", "[data-row]", 300],
  ["the same, those that failed", "/runs?q=status%3Afailed", "[data-row]", 300],
  ["the same, of one function", "/runs?q=function%3Ashop-function-3", "[data-row]", 300],
  ["overview: newest failures", "/", "[data-testid=failures] a", 300],
  [
    `run of ${process.env.PAWL_SPEED_STEPS} steps: first steps`,
    `/runs/${process.env.PAWL_SPEED_RUN}`,
    '[aria-label="Steps"] [role=listitem]',
    1000,
  ],
] as const;
const viewport = { width: 1440, height: 900 };

test("pages are there soon, the first time", async ({ browser }) => {
  for (const [what, path, selector, budget] of pages) {
    const middle = await repeat(`${what}, first visit`, path === "/runs", budget, async () => {
      const context = await browser.newContext({ viewport });
      const told = await times(context, base + path, selector);
      await context.close();
      return told;
    });
    expect.soft(middle).toBeLessThan(budget);
  }
});

test("pages are there soon, the next time", async () => {
  const profile = mkdtempSync(join(tmpdir(), "pawl-speed-"));
  const context = await chromium.launchPersistentContext(profile, { ...config.use?.launchOptions, viewport });
  for (const [what, path, selector, budget] of pages) {
    for (let i = 0; i < 3; i++) await times(context, base + path, selector); // by then what was compiled is kept
    expect.soft(await repeat(what, path === "/runs", budget, () => times(context, base + path, selector))).toBeLessThan(budget);
  }
  await context.close();
  rmSync(profile, { recursive: true, force: true });
});

/** Scrolls to the end of what is there, frame by frame, until there are as many rows; how long each frame took. */
async function scroll(page: Page, wanted: number): Promise<{ frames: number[]; reached: number }> {
  return page.evaluate(async (most) => {
    const frames: number[] = [];
    const last = () => Number([...document.querySelectorAll("[data-row]")].at(-1)?.getAttribute("data-row") ?? 0);
    let before = performance.now();
    let stuck = 0;
    let at = scrollY;
    for (;;) {
      await new Promise((next) => requestAnimationFrame(next));
      const now = performance.now();
      frames.push(now - before);
      before = now;
      if (last() >= most - 1) break;
      // About as fast as somebody can drag the bar through a list of this length.
      scrollBy(0, 4000);
      stuck = scrollY === at ? stuck + 1 : 0;
      at = scrollY;
      if (stuck > 3000) break; // nothing comes any more
    }
    return { frames: frames.slice(1), reached: last() + 1 };
  }, wanted);
}

test("rows scroll smoothly", async ({ page }) => {
  await page.goto(`${base}/runs`);
  await expect(page.locator("[data-row]").first()).toBeVisible();
  const began = Date.now();
  const { frames, reached } = await scroll(page, rows);
  expect(reached).toBeGreaterThanOrEqual(rows);
  const long = frames.filter((t) => t > 50).length;
  figures.push({
    what: `scrolling through ${reached} rows in ${((Date.now() - began) / 1000).toFixed(0)} s: a frame`,
    times: frames.length,
    p50: ms(quantile(frames, 0.5)),
    worst: ms(Math.max(...frames)),
    budget: "–",
  });
  figures.push({
    what: "the same: frames of more than 50 ms",
    times: frames.length,
    p50: `${((100 * long) / frames.length).toFixed(1)} %`,
    worst: String(long),
    budget: "1 %",
  });
  // Back through what is there: nothing is fetched.
  const back = await page.evaluate(async () => {
    const list: number[] = [];
    let before = performance.now();
    for (let i = 0; i < 300; i++) {
      scrollBy(0, -4000);
      await new Promise((next) => requestAnimationFrame(next));
      const now = performance.now();
      list.push(now - before);
      before = now;
    }
    return list.slice(1);
  });
  figures.push({
    what: "scrolling back through what is there: a frame",
    times: back.length,
    p50: ms(quantile(back, 0.5)),
    worst: ms(Math.max(...back)),
    budget: "50 ms",
  });
  expect.soft(long / frames.length).toBeLessThan(0.01);
  expect.soft(quantile(back, 0.95)).toBeLessThan(50);
});
