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

/** The time from the navigation until an element was painted. */
async function painted(context: BrowserContext, url: string, selector: string): Promise<number> {
  const page = await context.newPage();
  await page.addInitScript((wanted) => {
    const look = () => {
      if (!document.querySelector(wanted)) return false;
      // The frame after the one that it is in: it was painted.
      requestAnimationFrame(() => requestAnimationFrame(() => Object.assign(window, { __painted: performance.now() })));
      return true;
    };
    const watch = new MutationObserver(() => look() && watch.disconnect());
    watch.observe(document, { childList: true, subtree: true });
  }, selector);
  await page.route(`${base}${bare}`, (route) =>
    route.fulfill({ contentType: "text/html", body: `<!doctype html>${"<p data-row>a run</p>".repeat(30)}` }),
  );
  await page.goto(url, { waitUntil: "commit" });
  const at = await page.waitForFunction(() => (window as { __painted?: number }).__painted, undefined, { polling: 20, timeout: 60_000 });
  const time = await at.jsonValue();
  await page.close();
  return time!;
}

async function repeat(what: string, times: number, budget: number, once: () => Promise<number>) {
  await once(); // the browser itself has started then
  const list: number[] = [];
  for (let i = 0; i < times; i++) list.push(await once());
  figures.push({ what, times, p50: ms(quantile(list, 0.5)), worst: ms(Math.max(...list)), budget: ms(budget) });
  return quantile(list, 0.5);
}

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
    const middle = await repeat(`${what}, first visit`, 9, budget, async () => {
      const context = await browser.newContext({ viewport });
      const time = await painted(context, base + path, selector);
      await context.close();
      return time;
    });
    expect.soft(middle).toBeLessThan(budget);
  }
});

test("pages are there soon, the next time", async () => {
  const profile = mkdtempSync(join(tmpdir(), "pawl-speed-"));
  const context = await chromium.launchPersistentContext(profile, { ...config.use?.launchOptions, viewport });
  for (const [what, path, selector, budget] of pages) {
    for (let i = 0; i < 3; i++) await painted(context, base + path, selector); // by then what was compiled is kept
    expect.soft(await repeat(what, 9, budget, () => painted(context, base + path, selector))).toBeLessThan(budget);
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
