import { AxeBuilder } from "@axe-core/playwright";
import { expect, type Page, test } from "@playwright/test";
import { ended, Lab, runsOf, send, until } from "./setup";
import { watch } from "./watch";

// What the page of a run says of runs that fail and go on, that wait in a queue, that sleep
// for long, and that have many steps.

/** Names that are not simply letters from left to right. */
const odd = {
  hebrew: "שלח קבלה ללקוח מספר שבע עשרה בדואר אלקטרוני וגם בדואר רגיל",
  mixed: "send the receipt of the order to לקוח שלנו number 17 by mail",
  none: "",
  family:
    "welcome the \u{1f469}\u200d\u{1f469}\u200d\u{1f467} \u{1f469}\u200d\u{1f469}\u200d\u{1f467}\u{1f469}\u200d\u{1f469}\u200d\u{1f467}",
};

const runs: Record<string, string> = {};
const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));

const lab = new Lab(
  ({ RetryAfterError }) => ({
    payout: [
      { retries: 4 },
      async ({ step }) => {
        await step.run("load the payout", async () => 1);
        await step.run("pay it out", async () => {
          throw new RetryAfterError("the bank is \u001b[31mclosed\u001b[0m", 3 * 3_600_000);
        });
      },
    ],
    queue: [
      { concurrency: 2 },
      async ({ step }) => {
        await Promise.all(Array.from({ length: 12 }, (_, i) => step.run(`resize ${i + 1}`, () => pause(250))));
      },
    ],
    nap: [
      {},
      async ({ step }) => {
        await step.run("before", async () => 1);
        await step.sleep("until the invoice is due", "30d");
      },
    ],
    scripts: [
      {},
      async ({ step }) => {
        for (const name of Object.values(odd)) await step.run(name, async () => 1);
      },
    ],
    letters: [
      { retries: 0 },
      async ({ step }) => {
        for (let i = 1; i <= 40; i++) await step.run(`send mail to the customer with the number ${i}`, async () => i);
        await step.run("send mail to the customer who is gone", async () => {
          throw new Error("no such address");
        });
      },
    ],
  }),
  async (base) => {
    const events: Record<string, string> = {};
    for (const name of ["payout", "queue", "nap", "letters", "scripts"])
      [events[name]] = (await send(base, { name: `lab/${name}` })) as [string];
    for (const name of ["queue", "letters", "scripts"]) runs[name] = (await ended(base, events[name]!))[0]!.run_id;
    for (const [name, reason] of Object.entries({ payout: "retry", nap: "asleep" }))
      await until(`that of ${name}`, async () => {
        runs[name] = (await runsOf(base, events[name]!))[0]!.run_id;
        return (await (await fetch(`${base}/v1/runs/${runs[name]}/why`)).json()).data.reason === reason;
      });
  },
);

let check: () => Promise<void>;
test.use({ viewport: { width: 1440, height: 900 }, colorScheme: "light", reducedMotion: "reduce" });
test.beforeEach(async ({ page }) => {
  check = await watch(page);
});
test.afterEach(() => check());

/** The page at both widths and in both schemes: nothing sticks out, and axe finds nothing serious. */
async function look(page: Page, name: string) {
  for (const width of [1440, 360]) {
    await page.setViewportSize({ width, height: width === 360 ? 740 : 900 });
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      await expect(page.getByLabel("Loading")).toHaveCount(0);
      await page.screenshot({ path: `e2e/shots/run/${name}-${colorScheme}-${width}.png`, animations: "disabled" });
      expect(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)).toBe(0);
      const found = await new AxeBuilder({ page }).setLegacyMode().analyze();
      expect(
        found.violations
          .filter((v) => v.impact === "serious" || v.impact === "critical")
          .map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" | ")}`),
        `${name}, ${colorScheme}, ${width}`,
      ).toEqual([]);
    }
  }
  await page.setViewportSize({ width: 1440, height: 900 });
}

const row = (page: Page, name: string | RegExp) => page.getByRole("list", { name: "Steps" }).getByRole("button", { name });

test("a run that fails and is tried again says why, and when the next try is", async ({ page }) => {
  await page.goto(`${lab.base}/runs/${runs.payout}`);
  const failing = page.getByTestId("failing");
  await expect(failing).toContainText("Failing in pay it out");
  await expect(failing).toContainText(/try 1 of 5 failed .* ago|try 1 of 5 failed now/);
  await expect(failing).toContainText(/next try at [\d: -]+ \(in (2h 5\dm|3h)\)/);
  await expect(failing.getByTestId("stack")).toContainText("run.spec.ts");
  await expect(failing, "an escape is seen, and does nothing").toContainText("the bank is \ufffd[31mclosed\ufffd[0m");
  await expect(page.locator("h1")).toContainText("Running, retrying");
  await expect(page.getByTestId("failure")).toHaveCount(0);
  await expect(row(page, /^pay it out/).locator("[data-bar=next]"), "the next try is on the axis").toBeVisible();
  await look(page, "failing");
  await failing.getByRole("button", { name: "pay it out" }).click();
  await expect(page.getByRole("region", { name: "Step pay it out" })).toBeVisible();
});

test.describe("in another zone", () => {
  test.use({ timezoneId: "Asia/Kolkata" });
  test("times are those of the reader's clock, and say whose", async ({ page }) => {
    await page.goto(`${lab.base}/runs/${runs.nap}`);
    const why = page.getByRole("status").filter({ hasText: "sleeps until" });
    const { data } = await (await fetch(`${lab.base}/v1/runs/${runs.nap}/why`)).json();
    expect(data.times).toEqual([new Date(data.until).toISOString().replace(/\.\d+Z$/, "Z")]);
    const there = new Date(Date.parse(data.times[0]) + 5.5 * 3_600_000).toISOString();
    await expect(why).toContainText(`${there.slice(5, 10)} ${there.slice(11, 19)} (in `);
    await expect(why).not.toContainText("Z");
    await expect(page.getByRole("definition").filter({ hasText: "UTC+5:30" })).toHaveCount(2);
  });
});

test("what a step waited in the queue is drawn, and told", async ({ page }) => {
  await page.goto(`${lab.base}/runs/${runs.queue}`);
  await expect(row(page, /^resize 1: completed/)).toBeVisible();
  // Two at a time: the last have waited for those before them.
  const trace = (await (await fetch(`${lab.base}/v1/runs/${runs.queue}/trace`)).json()).data;
  const waited = (s: { planned_at: string; tries: { started_at: string }[] }) =>
    Date.parse(s.tries[0]!.started_at) - Date.parse(s.planned_at);
  const last = trace.steps.filter((s: { planned_at?: string }) => s.planned_at).sort((a: never, b: never) => waited(b) - waited(a))[0];
  expect(waited(last)).toBeGreaterThan(250);
  const line = row(page, new RegExp(`^${last.name}: completed, .* in the queue$`));
  const [wait, work] = [await line.locator("[data-bar=wait]").boundingBox(), await line.locator("[data-bar=good]").boundingBox()];
  expect(wait!.width).toBeGreaterThan(20);
  expect(Math.abs(wait!.x + wait!.width - work!.x), "it ends where the work begins").toBeLessThan(4);
  await line.click();
  const step = page.getByRole("region", { name: `Step ${last.name}` });
  await expect(step.getByRole("definition").filter({ hasText: "in the queue" })).toBeVisible();
  await look(page, "queue");
});

test("a rest says how long it is, and what is planned is drawn", async ({ page }) => {
  await page.goto(`${lab.base}/runs/${runs.nap}`);
  await expect(page.getByTestId("axis")).toContainText(/in (30d|29d 2\dh)/);
  const ahead = row(page, /^until the invoice is due/).locator("[data-bar=ahead]");
  expect((await ahead.boundingBox())!.width).toBeGreaterThan(200);
  await look(page, "nap");
  await page.setViewportSize({ width: 360, height: 740 });
  await expect
    .poll(async () => (await page.getByTestId("axis").locator("span").allTextContents()).length, "more than a zero")
    .toBeGreaterThan(1);
});

test("steps are told apart by the end of their names, and found", async ({ page }) => {
  await page.goto(`${lab.base}/runs/${runs.letters}`);
  const names = row(page, /customer with the number/);
  await expect(names.first()).toBeVisible();
  await expect(names.first().getByTitle("send mail to the customer with the number 1", { exact: true })).toBeVisible();
  const end = names.first().getByText("mber 1", { exact: true });
  expect(await end.evaluate((e) => e.scrollWidth <= e.clientWidth + 1 && e.getBoundingClientRect().width > 20), "the end is whole").toBe(
    true,
  );
  await look(page, "letters");
  await page.keyboard.press("/");
  const find = page.getByLabel("Find a step");
  await expect(find).toBeFocused();
  await find.fill("number 3");
  await expect(page.getByText("11 of 42")).toBeVisible();
  await find.fill("");
  await page.getByRole("button", { name: /^With failures/ }).click();
  await expect(row(page, /^send mail to the customer who is gone: failed/)).toBeVisible();
  await expect(row(page, /number 1:/)).toHaveCount(0);
  await page.getByRole("button", { name: /^With failures/ }).click();
  await find.blur();
  // Faster than anything is drawn.
  await page.evaluate(() => {
    for (let i = 0; i < 3; i++) document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "j", code: "KeyJ", bubbles: true }));
  });
  await expect(row(page, /number 3: completed/)).toHaveAttribute("aria-pressed", "true");
});

test("a name that is written from right to left is whole, and ends where it ends", async ({ page }) => {
  await page.goto(`${lab.base}/runs/${runs.scripts}`);
  for (const name of [odd.hebrew, odd.mixed]) {
    const text = row(page, name).getByText(name, { exact: true });
    expect(await text.evaluate((e) => [getComputedStyle(e).textOverflow, e.scrollWidth > e.clientWidth])).toEqual(["ellipsis", true]);
  }
  expect(
    await row(page, odd.hebrew)
      .getByText(odd.hebrew, { exact: true })
      .evaluate((e) => getComputedStyle(e).direction),
  ).toBe("rtl");
  await look(page, "scripts");
});

test("a step without a name is shown as one", async ({ page }) => {
  await page.goto(`${lab.base}/runs/${runs.scripts}`);
  const line = row(page, /^\(no name\): completed/);
  await expect(line).toContainText("(no name)");
  await line.click();
  await expect(page.getByRole("region", { name: "Step (no name)" }).getByRole("heading", { name: "(no name)" })).toBeVisible();
  await look(page, "nameless");
});

test("what cannot be a run is not here", async ({ page }) => {
  await page.goto(`${lab.base}/runs/x`);
  await expect(page.locator("h1")).toHaveText("It is not here");
  await expect(page.locator("#content")).toContainText("Invalid run ID: x");
  await expect(page.getByRole("button", { name: "Try again" })).toHaveCount(0);
});

test("Back closes a step that was opened, and a search for steps outlives a reload", async ({ page }) => {
  await page.goto(`${lab.base}/runs`);
  await page.locator(`#content a[href$="${runs.letters}"]`).click();
  const find = page.getByLabel("Find a step");
  await find.fill("number 3");
  await expect(page).toHaveURL(/find=number\+3/);
  const panel = page.getByTestId("step-panel");
  await row(page, /number 3:/).click();
  await row(page, /number 31:/).click();
  await expect(panel.getByRole("heading", { name: "number 31" })).toBeVisible();
  await page.reload();
  await expect(panel.getByRole("heading", { name: "number 31" })).toBeVisible();
  await expect(find).toHaveValue("number 3");
  await expect(page.getByText("11 of 42")).toBeVisible();
  await page.goBack();
  await expect(panel).toHaveCount(0);
  await expect(find).toHaveValue("number 3");
  // Whatever way a step is closed, nothing is left behind of it.
  await row(page, /number 3:/).click();
  await expect(panel).toBeVisible();
  await page.getByRole("button", { name: "Close the step" }).click();
  await expect(panel).toHaveCount(0);
  await row(page, /number 3:/).click();
  await row(page, /number 3:/).click();
  await expect(panel).toHaveCount(0);
  await page.goBack();
  await expect(page.getByRole("heading", { name: "Runs" })).toBeAttached();
});

test("where there is little height, a step lies under the waterfall", async ({ page }) => {
  await page.setViewportSize({ width: 720, height: 450 });
  await page.goto(`${lab.base}/runs/${runs.queue}`);
  await row(page, /^resize 3: completed/).click();
  const panel = page.getByTestId("step-panel");
  await expect(panel.getByRole("heading", { name: "resize 3" })).toBeInViewport();
  const [over, under] = [await page.getByLabel("Waterfall of the steps").boundingBox(), await panel.boundingBox()];
  expect(under!.y).toBeGreaterThanOrEqual(over!.y + over!.height);
  await page.screenshot({ path: "e2e/shots/run/zoomed.png", animations: "disabled" });
  await page.setViewportSize({ width: 720, height: 900 });
  expect((await panel.boundingBox())!.y, "where there is height, over the page's foot").toBeGreaterThan(200);
  expect(await panel.evaluate((e) => getComputedStyle(e).position)).toBe("fixed");
});

test("a run is printed on white paper, with all its steps, and without what is to be pressed", async ({ page }) => {
  await page.emulateMedia({ colorScheme: "dark" });
  await page.goto(`${lab.base}/runs/${runs.letters}`);
  await expect(row(page, /number 1:/)).toBeVisible();
  await page.emulateMedia({ media: "print", colorScheme: "dark" });
  expect(await page.evaluate(() => getComputedStyle(document.body).backgroundColor)).toBe("rgb(247, 247, 245)");
  await expect(page.getByRole("complementary")).toBeHidden();
  await expect(page.getByRole("button", { name: "Retry" })).toHaveCount(0);
  await expect(page.getByRole("list", { name: "Steps" }).getByRole("listitem")).toHaveCount(42);
  await page.screenshot({ path: "e2e/shots/run/print.png", fullPage: true });
});
