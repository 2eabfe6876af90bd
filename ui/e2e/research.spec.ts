// The page of examples/deep-research: what it shows of a stream, and that it comes back
// when the app or Pawl was killed.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AxeBuilder } from "@axe-core/playwright";
import { expect, type Page, test } from "@playwright/test";
import { freePort, until } from "./setup";
import { watch } from "./watch";

const root = new URL("../..", import.meta.url).pathname;
const example = `${root}examples/deep-research`;

/** A program that can be killed and started again. */
class Program {
  child?: ChildProcess;
  constructor(
    readonly argv: string[],
    readonly env: Record<string, string>,
    readonly at: string,
  ) {}

  async start() {
    const [command, ...args] = this.argv;
    this.child = spawn(command!, args, { env: { ...process.env, ...this.env }, stdio: process.env.PAWL_E2E_LOG ? "inherit" : "ignore" });
    await until(`the start of ${command} ${args[0]}`, async () => (await fetch(this.at)).ok);
  }

  async kill() {
    const { child } = this;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((done) => child.once("exit", done));
    child.kill("SIGKILL");
    await gone;
  }
}

let dir: string;
let pawl: Program;
let library: Program;
let app: Program;

test.beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "pawl-research-"));
  const [pawlPort, libraryPort, appPort] = [await freePort(), await freePort(), await freePort()];
  const base = `http://127.0.0.1:${pawlPort}`;
  pawl = new Program(
    [
      `${root}bin/pawl`,
      "dev",
      "--listen",
      `127.0.0.1:${pawlPort}`,
      "--db",
      `sqlite:${dir}/pawl.db`,
      "--no-discovery",
      "--endpoint-lease",
      "3s",
      "--retry-interval",
      "1s",
    ],
    {},
    `${base}/health`,
  );
  const libraryURL = `http://127.0.0.1:${libraryPort}`;
  library = new Program(
    [process.execPath, `${example}/library.mjs`],
    { LIBRARY_PORT: String(libraryPort), LIBRARY_DELAY: "150" },
    libraryURL,
  );
  app = new Program(
    [process.execPath, `${example}/main.mjs`],
    { PORT: String(appPort), LIBRARY_URL: libraryURL, INNGEST_DEV: base, PACE: "8" },
    `http://127.0.0.1:${appPort}/`,
  );
  await Promise.all([pawl.start(), library.start(), app.start()]);
});

test.afterAll(async () => {
  await Promise.all([pawl, library, app].map((program) => program.kill()));
  rmSync(dir, { recursive: true, force: true });
});

let check: () => Promise<void>;
test.beforeEach(async ({ page }) => {
  check = await watch(page);
});
test.afterEach(() => check());

const badge = (page: Page) => page.locator("#badge");
const ask = (page: Page) => page.getByRole("button", { name: "Research" }).click();

/** The page shows each step once, all committed, and the report is that of the answer. */
async function whole(page: Page) {
  await expect(badge(page)).toHaveText(/^answered in /);
  for (const step of await page.locator(".step[data-status]").all()) await expect(step).toHaveAttribute("data-status", "committed");
  const titles = await page.locator("#report h3 > span:first-child").allTextContents();
  expect(titles[0]).toBe("In short");
  expect(new Set(titles).size, `each section once: ${titles}`).toBe(titles.length);
  await expect(page.locator("#report del")).toHaveCount(0);
  const notes = await page
    .locator("#steps .step")
    .evaluateAll((all) => all.map((s) => [...s.querySelectorAll("q")].map((q) => q.textContent)));
  for (const list of notes) expect(new Set(list).size, "no note twice in a step").toBe(list.length);
  return page.locator("#report").textContent();
}

/** Nothing sticks out to the side, and axe finds nothing. */
async function sound(page: Page) {
  expect(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)).toBe(0);
  const axe = await new AxeBuilder({ page }).analyze();
  expect(axe.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" | ")}`)).toEqual([]);
}

for (const scheme of ["light", "dark"] as const) {
  for (const width of [360, 1440]) {
    test.describe(`${scheme} ${width}`, () => {
      test.use({ colorScheme: scheme, viewport: { width, height: width === 360 ? 740 : 900 }, reducedMotion: "reduce" });
      test("a plan is approved, a reading fails, and the report is written", async ({ page }) => {
        const shot = (name: string) => page.screenshot({ path: `e2e/shots/research/${scheme}-${width}-${name}.png`, fullPage: true });
        await page.goto(app.at);
        await sound(page);
        await shot("1-ask");
        await ask(page);
        await expect(badge(page)).toHaveText("in this request");
        await expect(page.getByRole("heading", { name: "Is this plan good?" })).toBeVisible();
        await expect(badge(page)).toHaveText("goes on in the background");
        await expect(page.getByRole("link", { name: "result URL" })).toHaveAttribute("href", /\/v1\/realtime\/sse\?token=/);
        await sound(page);
        await shot("2-plan");
        await page.locator("input[name=keep]").last().uncheck();
        await page.getByRole("button", { name: "Go on" }).click();
        await expect(page.locator("#steps .chip", { hasText: "rolled back once" })).toHaveCount(1);
        await shot("3-rolled-back");
        await expect(page.locator("#report .step[data-status='under way']")).toHaveCount(1);
        await shot("4-writes");
        await whole(page);
        await expect(page.locator("#steps .step")).toHaveCount(6); // understand, plan, three searches, compare
        await expect(page.locator("#log li", { hasText: "rollback" })).not.toHaveCount(0);
        await sound(page);
        await shot("5-answer");
      });
    });
  }
}

test("a quick question is answered in its request, and nothing of a payload is markup", async ({ page }) => {
  await page.goto(app.at);
  await page.getByLabel("Question").fill("<img src=x onerror='window.__hacked=1'> What did Harrison's clock do?");
  await page.getByLabel("Quick: one search").check();
  await page.getByLabel("Let one reading fail").uncheck();
  await ask(page);
  await whole(page);
  await expect(badge(page)).toHaveText("answered in this request");
  await expect(page.locator("#run-title")).toContainText("<img src=x");
  await expect(page.locator("main img")).toHaveCount(0);

  // Who opens it later has the report from the answer.
  const report = await page.locator("#report p").allTextContents();
  await page.reload();
  await expect(badge(page)).toHaveText("answered in the background");
  expect(await page.locator("#report p").allTextContents()).toEqual(report);
});

test("a reload joins late, and so does another page", async ({ page, context }) => {
  await page.goto(app.at);
  await page.getByLabel("Let one reading fail").uncheck();
  await ask(page);
  await expect(badge(page)).toHaveText("goes on in the background");
  await expect(page.locator("#log li", { hasText: "outside of steps" }).last()).toContainText("pawl");
  await page.reload();
  await expect(page.getByRole("heading", { name: "Is this plan good?" })).toBeVisible();
  await page.getByRole("button", { name: "Go on" }).click();
  await expect(page.locator("#report .step")).not.toHaveCount(0);
  await page.reload();
  const other = await context.newPage();
  await other.goto(page.url());
  expect(await whole(other)).toBe(await whole(page));
});

test("a plan that is dropped ends the run", async ({ page }) => {
  await page.goto(app.at);
  await ask(page);
  await page.getByRole("button", { name: "Drop it" }).click();
  await expect(page.locator("#hint")).toHaveText("the plan was not approved");
  await expect(badge(page)).toHaveText("answered in the background");
});

test("the app is killed in its request, then while it searches, and Pawl while it writes", async ({ page }) => {
  await page.goto(app.at);
  await page.getByLabel("Let one reading fail").uncheck();
  await page.getByLabel("Quick: one search").check();
  await ask(page);
  await expect(page.locator("#steps q").first()).toBeVisible();
  await app.kill();
  await expect(badge(page)).toHaveText("goes on in the background");
  await expect(page.locator("#log li", { hasText: "broken off" })).toHaveCount(1);
  await app.start();
  await whole(page);

  await fetch(`${library.at}/behaviour`, { method: "POST", body: JSON.stringify({ delay: 1000 }) });
  await page.getByLabel("Deep: several searches").check();
  await page.getByLabel("Let me approve the plan").uncheck();
  await ask(page);
  await expect(page.locator("#steps q").nth(2)).toBeVisible();
  await app.kill();
  await app.start();
  await expect(page.locator("#report .step[data-status='under way']")).toHaveCount(1);
  await expect(page.locator("#steps .chip", { hasText: "rolled back" })).not.toHaveCount(0);
  await pawl.kill();
  await expect(badge(page)).toHaveText("connection lost, tries again");
  await page.screenshot({ path: "e2e/shots/research/lost.png", fullPage: true });
  await pawl.start();
  await whole(page);
});

test("a stream that is not to be had says so", async ({ page }) => {
  await page.goto(`${app.at}#stream=forged`);
  await expect(badge(page)).toHaveText("not kept any more");
});
