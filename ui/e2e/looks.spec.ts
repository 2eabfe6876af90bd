import { AxeBuilder } from "@axe-core/playwright";
import { expect, type Page, test } from "@playwright/test";
import { ended, Lab, openShop, send } from "./setup";
import { watch } from "./watch";

// Names without a space to break at, batches, and what comes to lie over the page.

openShop({ used: true });
const shop = () => process.env.PAWL_SHOP!;
const ids = () => JSON.parse(process.env.PAWL_RUNS!) as Record<string, string>;

const long = { fn: `f${"n".repeat(119)}`, step: `First-words-of-it-${"s".repeat(380)}`, event: `long/${"e".repeat(150)}` };
let longRun = "";
let batchRun = "";

const lab = new Lab(
  () => ({
    [long.fn]: [
      { retries: 0, triggers: [{ event: long.event }] },
      async ({ step }) => {
        await step.run(long.step, async () => {
          throw new Error("m".repeat(500));
        });
      },
    ],
    batch: [
      { retries: 0, batchEvents: { maxSize: 3, timeout: "10s" } },
      async ({ events }) => events.map((e: { data: { n: number } }) => e.data.n),
    ],
  }),
  async (base) => {
    const [failing] = await send(base, { name: long.event });
    longRun = (await ended(base, failing!))[0]!.run_id;
    const events = await send(base, ...[1, 2, 3].map((n) => ({ name: "lab/batch", data: { n } })));
    batchRun = (await ended(base, events[0]!))[0]!.run_id;
  },
);

let check: () => Promise<void>;
test.beforeEach(async ({ page }) => {
  check = await watch(page);
});
test.afterEach(() => check());

const sideways = (page: Page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

test("a long name is broken, and no page scrolls sideways", async ({ page }) => {
  const groups = (await (await fetch(`${lab.base}/v1/dead-letters/groups`)).json()).data;
  for (const width of [360, 1440]) {
    await page.setViewportSize({ width, height: 800 });
    for (const [place, ready] of Object.entries({
      "": "Newest failures",
      runs: "mmm",
      events: "long/",
      functions: "fnnn",
      [`functions/lab-${long.fn}`]: "Starts on",
      [`runs/${longRun}`]: "Failed in",
      "dead-letters": "mmm",
      [`dead-letters/${groups[0].fingerprint}`]: "in step",
    })) {
      await page.goto(`${lab.base}/${place}`);
      await expect(page.getByRole("main").getByText(ready).first(), place).toBeVisible();
      await expect(page.getByLabel("Loading")).toHaveCount(0);
      expect(await sideways(page), `${place} at ${width}`).toBe(0);
      // What a clipped box hides makes no page wider: nothing in it begins before it, or ends after it.
      const cut = await page.evaluate(() =>
        [...document.querySelectorAll("main h1, main h1 *, [data-testid=failure] button, [data-testid=failure] span, main header *")]
          .filter((at) => !at.closest(".truncate, .sr-only, pre, [class*=line-clamp]"))
          .filter((at) => {
            const box = at.getBoundingClientRect();
            return box.width > 1 && (box.left < 0 || box.right > innerWidth);
          })
          .map((at) => `${at.tagName} ${at.textContent?.slice(0, 30)}`),
      );
      expect(cut, `${place} at ${width}`).toEqual([]);
    }
    await page.goto(`${lab.base}/runs/${longRun}`);
    await page.getByTestId("failure").getByRole("button", { name: long.step }).click();
    await expect(page.getByRole("region", { name: /^Step First-words/ })).toBeVisible();
    expect(await sideways(page)).toBe(0);
    await page.screenshot({ path: `e2e/shots/looks/long-${width}.png`, animations: "disabled" });
  }
});

test("who edits the input of a batch is told which event it is, and that the others stay", async ({ page }) => {
  await page.goto(`${lab.base}/runs/${batchRun}`);
  await page.getByRole("button", { name: "Edit and rerun" }).click();
  const dialog = page.getByRole("dialog");
  await expect(dialog).toContainText("This run has a batch of 3 events. The data of the first of them, lab/batch");
  await expect(dialog).toContainText("The new run gets the other 2 as they were.");
  const editor = page.getByTestId("editor").getByRole("textbox");
  await expect(editor).toContainText('"n": 1');
  await editor.press("ControlOrMeta+a");
  await page.keyboard.insertText('{"n": 100}');
  await page.getByRole("button", { name: "Start the run" }).click();
  await expect(page.getByText("A run has started")).toBeVisible();
  await expect(page.getByRole("heading", { name: "Output" })).toBeVisible();
  const [run] = /[0-9A-Z]{26}/.exec(page.url())!;
  expect((await (await fetch(`${lab.base}/v1/runs/${run}`)).json()).data.output, "it is as it was said").toEqual([100, 2, 3]);
});

async function readable(page: Page, what: string) {
  const found = await new AxeBuilder({ page }).setLegacyMode().withRules("color-contrast").analyze();
  expect(
    found.violations.flatMap((v) => v.nodes.map((n) => `${n.html} ${n.failureSummary}`)),
    what,
  ).toEqual([]);
}

test("what is chosen or pointed at can be read", async ({ page }) => {
  await page.emulateMedia({ reducedMotion: "reduce", colorScheme: "light" });
  for (const [place, row] of [
    ["dead-letters", "insufficient funds"],
    ["runs", "shop-checkout"],
    ["events", "photos/uploaded"],
    ["functions", "Nightly report"],
  ]) {
    await page.goto(`${shop()}/${place}`);
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      await page.getByRole("main").getByText(row!).first().hover();
      await readable(page, `${place}, ${colorScheme}`);
    }
  }
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    await page.keyboard.press("ControlOrMeta+k");
    await expect(page.getByRole("option", { selected: true })).toBeVisible();
    await readable(page, `the palette, ${colorScheme}`);
    await page.keyboard.press("Escape");
    await expect(page.getByRole("dialog")).toHaveCount(0);
  }
});

test("every list goes by keyboard, and / leads to a search", async ({ page }) => {
  const groups = (await (await fetch(`${shop()}/v1/dead-letters/groups`)).json()).data;
  const group = groups.find((g: { title: string }) => g.title.includes("insufficient funds")).fingerprint;
  for (const [place, opened] of Object.entries({
    runs: /\/runs\/[0-9A-Z]{26}$/,
    events: /\/events\/[0-9A-Z]{26}$/,
    "dead-letters": /\/dead-letters\/\w+$/,
    [`dead-letters/${group}`]: /\/runs\/[0-9A-Z]{26}$/,
    functions: /\/functions\/shop-/,
    "functions/shop-checkout": /\/runs\/[0-9A-Z]{26}$/,
    [`events/${ids().event}`]: /\/runs\/[0-9A-Z]{26}$/,
    schedules: /\/functions\/shop-nightly-report$/,
    apps: /\/functions\/shop-/,
    "": /\/runs\/[0-9A-Z]{26}$/,
  })) {
    await page.goto(`${shop()}/${place}`);
    await expect(page.locator("#content [data-row]").first()).toBeVisible();
    for (const key of ["j", "j", "k"]) await page.keyboard.press(key);
    if (place !== "runs") await expect(page.locator("#content [data-row]").first(), place).toBeFocused();
    await page.keyboard.press("Enter");
    await expect(page, place).toHaveURL(opened);
  }
  for (const [place, field] of Object.entries({ runs: "Filter runs", events: "Name of the event", functions: "Find a function" })) {
    await page.goto(`${shop()}/${place}`);
    await expect(page.getByLabel(field)).toBeVisible();
    await page.keyboard.press("/");
    await expect(page.getByLabel(field)).toBeFocused();
    await expect(page.getByLabel(field)).toHaveValue("");
  }
  await page.goto(`${shop()}/schedules`);
  await expect(page.getByRole("region", { name: "Notifications" })).toBeAttached();
  await page.keyboard.press("/");
  await expect(page.getByRole("dialog", { name: "Find or do" })).toBeVisible();
});

test("a line of the audit log opens by keyboard", async ({ page }) => {
  const paused = await fetch(`${lab.base}/v1/functions/lab-batch/pause`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ hold: "starts", reason: "by keyboard" }),
  });
  expect(paused.status).toBe(200);
  await page.goto(`${lab.base}/audit`);
  await expect(page.getByRole("listitem").first()).toBeVisible();
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await expect(page.getByText("by keyboard")).toBeVisible();
});

test("a request and its answer have headings in their order", async ({ page }) => {
  await page.goto(`${shop()}/runs/${ids().failing}`);
  await page.getByTestId("failure").getByRole("button", { name: "Request and answer" }).click();
  await expect(page.getByTestId("exchange")).toBeVisible();
  const found = await new AxeBuilder({ page }).withRules(["heading-order", "page-has-heading-one"]).analyze();
  expect(found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" | ")}`)).toEqual([]);
});

test("a newcomer is told what is so", async ({ page }) => {
  // It was started with --no-discovery.
  await page.goto(`${process.env.PAWL_EMPTY!}/apps`);
  await expect(page.getByText("Pawl does not look for apps")).toBeVisible();
  await expect(page.getByText("Ports", { exact: true })).toHaveCount(0);
  await expect(page.getByText("curl -X PUT http://localhost:3000/api/inngest")).toBeVisible();
  await page.getByRole("tab", { name: "Python" }).click();
  await expect(page.getByText("curl -X PUT http://localhost:8000/api/inngest")).toBeVisible();
  const server = (dev: boolean, discovery: boolean) => ({
    data: { version: "v", dev, discovery, ports: discovery ? "80, 443" : "", paths: discovery ? ["/api/inngest"] : [], unsynced: [] },
    metadata: {},
  });
  await page.route("**/v1/server", (route) => route.fulfill({ json: server(true, true) }));
  await page.reload();
  await expect(page.getByText("Pawl looks for an app on this machine until it knows one")).toBeVisible();
  await expect(page.getByText("80, 443")).toBeVisible();
  await page.unroute("**/v1/server");
  await page.route("**/v1/server", (route) => route.fulfill({ json: server(false, false) }));
  await page.reload();
  await expect(page.getByText("if it has this server's signing key")).toBeVisible();
  await expect(page.getByText('/e/"$PAWL_EVENT_KEY"')).toBeVisible();
  await expect(page.getByText("/v2/apps/shop/syncs")).toBeVisible();
  await expect(page.getByText(/^INNGEST_DEV=0 INNGEST_BASE_URL=.* node app\.mjs$/)).toBeVisible();
  await page.getByRole("tab", { name: "Go" }).click();
  await expect(page.getByText(/^INNGEST_DEV=0 INNGEST_BASE_URL=.* go run \.$/)).toBeVisible();
});

test("one thing lies over the page at a time, and Escape closes a step", async ({ page }) => {
  await page.goto(`${shop()}/runs/${ids().good}`);
  const row = page.getByRole("button", { name: /^send receipt: completed/ });
  await row.click();
  const step = page.getByRole("region", { name: "Step send receipt" });
  await expect(step).toBeVisible();
  await expect(page.getByRole("region", { name: "Notifications" })).toBeAttached(); // which comes last, after the keys
  await step.getByRole("button", { name: "Rerun from here" }).click();
  await page.keyboard.press("ControlOrMeta+k");
  await expect(page.getByRole("dialog"), "a question waits for its answer").toHaveCount(1);
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toHaveCount(0);
  await expect(step, "Escape closed the question alone").toBeVisible();
  await page.keyboard.press("Escape");
  await expect(step).toHaveCount(0);
  await expect(row).toBeFocused();
  await page.keyboard.press("?");
  await expect(page.getByRole("dialog", { name: "Keys" })).toBeVisible();
  await page.keyboard.press("ControlOrMeta+k");
  await expect(page.getByRole("dialog", { name: "Find or do" })).toBeVisible();
  await expect(page.getByRole("dialog")).toHaveCount(1);
});
