import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, type Page, test } from "@playwright/test";
import { freePort, Processes, until } from "./setup";

// Somebody starts Pawl, has no app, and does what the page says.

const run = promisify(execFile);
const root = new URL("../..", import.meta.url).pathname;
const processes = new Processes();
let base = "";
let dir = "";

let keys: Record<string, string> = {};

test.beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "pawl-newcomer-"));
});

test.afterEach(async () => {
  await processes.end();
  rmSync(dir, { recursive: true, force: true });
});

/** Starts pawl dev, and opens its page. */
async function dev(page: Page) {
  base = await processes.pawl();
  keys = {};
  await page.goto(base);
}

/** Starts pawl serve with keys, and opens its page as the first admin. */
async function serve(page: Page) {
  keys = { PAWL_SIGNING_KEY: `signkey-prod-${randomBytes(32).toString("hex")}`, PAWL_EVENT_KEY: randomBytes(16).toString("hex") };
  base = `http://127.0.0.1:${await freePort()}`;
  processes.start(`${root}bin/pawl`, ["serve", "--listen", base.slice("http://".length)], { env: keys, cwd: dir });
  await until("the start of pawl", async () => (await fetch(`${base}/health`)).ok && /\/setup#\S+/.test(processes.said));
  await page.goto(/http:\S+\/setup#\S+/.exec(processes.said)![0]);
  await page.getByLabel("Name").fill("ada@example.com");
  await page.getByLabel("Password", { exact: true }).fill("correct horse battery");
  await page.getByRole("button", { name: "Make the first admin" }).click();
}

/** What the page says to do, for a port that is free: how to get the SDK, the app, how to start, register and send to it. */
async function steps(page: Page, language: string): Promise<{ port: number; code: string[] }> {
  await page.getByRole("tab", { name: language }).click();
  await expect(page.getByRole("tab", { name: language })).toHaveAttribute("aria-selected", "true");
  const port = await freePort();
  const code = await page.locator("main ol pre").allTextContents();
  expect(code).toHaveLength(5);
  return { port, code: code.map((text) => text.replaceAll(":3000", `:${port}`).replaceAll("(3000)", `(${port})`)) };
}

/** Does the rest, and finds the first run on the page. */
async function firstRun(page: Page, { port, code }: { port: number; code: string[] }) {
  const [, , begin, register, send] = code;
  processes.start("bash", ["-c", `exec env ${begin}`], { cwd: dir, env: keys });
  await until("the start of the app", async () => (await fetch(`http://localhost:${port}/api/inngest`)).status < 500);
  const env = { ...process.env, ...keys };
  await run("bash", ["-c", `${register} --fail --silent`], { cwd: dir, env });
  await expect(page.getByRole("heading", { name: "Overview" })).toBeVisible(); // by itself
  await run("bash", ["-c", `${send} --fail --silent`], { cwd: dir, env });
  await page.getByRole("link", { name: "Runs", exact: true }).click();
  await page.getByRole("listitem").filter({ hasText: "shop-welcome" }).getByRole("link").click();
  await expect(page.getByText('"Hello, Ada!"').first()).toBeVisible();
  for (const step of ["look-up", "a-moment", "greet"]) await expect(page.getByRole("button", { name: `${step}: completed` })).toBeVisible();
}

for (const [name, begin] of Object.entries({ dev, serve })) {
  test(`pawl ${name}: who has no app learns from the page how to get a first run, in TypeScript`, async ({ page }) => {
    await begin(page);
    const told = await steps(page, "TypeScript");
    expect(told.code[0]).toContain("npm install inngest@4");
    symlinkSync(`${root}e2e/apps/ts4/node_modules`, join(dir, "node_modules")); // at a version that is pinned
    writeFileSync(join(dir, "app.mjs"), told.code[1]!);
    await firstRun(page, told);
  });

  test(`pawl ${name}: who has no app learns from the page how to get a first run, in Go`, async ({ page }) => {
    test.setTimeout(300_000); // the compiler may have to begin with the standard library
    await begin(page);
    const told = await steps(page, "Go");
    expect(told.code[0]).toContain("go get github.com/pawlhq/pawl");
    await run("go", ["mod", "init", "shop"], { cwd: dir });
    await run("go", ["work", "init", ".", root], { cwd: dir }); // this version of it
    writeFileSync(join(dir, "main.go"), told.code[1]!);
    await run("go", ["vet", "."], { cwd: dir });
    await run("go", ["build", "-o", "/dev/null", "."], { cwd: dir });
    await firstRun(page, told);
  });
}
