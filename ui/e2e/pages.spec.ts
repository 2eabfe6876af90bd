import { AxeBuilder } from "@axe-core/playwright";
import { expect, test } from "@playwright/test";
import { openShop } from "./setup";
import { watch } from "./watch";

openShop({ used: true });
const shop = () => process.env.PAWL_SHOP!;
const empty = () => process.env.PAWL_EMPTY!;
const ids = () => JSON.parse(process.env.PAWL_RUNS!) as Record<string, string>;

/** The id of the step "ask the bank": the SHA-1 of its name. */
const bank = "bb1c0c9cea5b077f9575330ff193d95dff8fc794";

/** Every page of the dashboard: where it is, and what shows that it is there. */
const pages: { name: string; at: () => string; ready: string | RegExp }[] = [
  { name: "overview", at: () => shop(), ready: "Newest failures" },
  { name: "runs", at: () => `${shop()}/runs`, ready: /shop-(checkout|ship)/ },
  { name: "runs-failed", at: () => `${shop()}/runs?q=status%3Afailed%20data.customer~c-`, ready: "shop-checkout" },
  { name: "runs-none", at: () => `${shop()}/runs?q=function%3Anone`, ready: "No run matches" },
  { name: "run-failed", at: () => `${shop()}/runs/${ids().failing}`, ready: "CardDeclined" },
  { name: "run-good", at: () => `${shop()}/runs/${ids().good}`, ready: "send receipt" },
  { name: "run-retried", at: () => `${shop()}/runs/${ids().rates}?step=${bank}`, ready: "Failed tries" },
  { name: "run-waiting", at: () => `${shop()}/runs/${ids().approval}`, ready: "wait for approval" },
  { name: "run-wide", at: () => `${shop()}/runs/${ids().photos}`, ready: "thumbnail 1" },
  { name: "run-hostile", at: () => `${shop()}/runs/${ids().hostile}`, ready: "Failed in" },
  { name: "run-unknown", at: () => `${shop()}/runs/01JQDAE4RQF8MBCR55T5AK4KXS`, ready: "It is not here" },
  { name: "dead-letters", at: () => `${shop()}/dead-letters`, ready: "insufficient funds" },
  { name: "events", at: () => `${shop()}/events`, ready: "photos/uploaded" },
  { name: "event", at: () => `${shop()}/events/${ids().event}`, ready: "Runs that it started" },
  { name: "functions", at: () => `${shop()}/functions`, ready: "Nightly report" },
  { name: "function", at: () => `${shop()}/functions/shop-checkout`, ready: "Starts on" },
  { name: "function-cron", at: () => `${shop()}/functions/shop-nightly-report`, ready: "Next ticks" },
  { name: "schedules", at: () => `${shop()}/schedules`, ready: "02:30" },
  { name: "apps", at: () => `${shop()}/apps`, ready: "healthy" },
  { name: "audit", at: () => `${shop()}/audit`, ready: "It is kept as long as" },
  { name: "settings", at: () => `${shop()}/settings`, ready: "This server" },
  { name: "not-found", at: () => `${shop()}/no/such/page`, ready: "There is no such page" },
  { name: "empty-overview", at: () => empty(), ready: "Connect an app" },
  { name: "empty-runs", at: () => `${empty()}/runs`, ready: "Nothing has run yet" },
  { name: "empty-dead-letters", at: () => `${empty()}/dead-letters`, ready: "No dead letters" },
  { name: "empty-events", at: () => `${empty()}/events`, ready: "No event in this time" },
  { name: "empty-functions", at: () => `${empty()}/functions`, ready: "No app has told of a function" },
  { name: "empty-schedules", at: () => `${empty()}/schedules`, ready: "Nothing is scheduled" },
  { name: "empty-apps", at: () => `${empty()}/apps`, ready: "Waiting for an app" },
];

/** What a page's outline has to be for who moves by headings. */
const outline = ["heading-order", "page-has-heading-one", "empty-heading"];

const sizes = [
  { width: 1440, height: 900 },
  { width: 360, height: 740 },
];

// A page is loaded once, and looked at in both schemes and at both widths: what changes
// then is what changes when somebody turns a phone or the evening comes.
test.use({ viewport: sizes[0], colorScheme: "light", reducedMotion: "reduce" });
for (const { name, at, ready } of pages) {
  test(name, async ({ page }) => {
    const check = await watch(page);
    await page.goto(at());
    for (const size of sizes) {
      await page.setViewportSize(size);
      for (const scheme of ["light", "dark"] as const) {
        await page.emulateMedia({ colorScheme: scheme });
        await expect(page.getByText(ready).first()).toBeVisible();
        await expect(page.getByLabel("Loading")).toHaveCount(0);
        const look = `${scheme}-${size.width}`;
        await page.screenshot({ path: `e2e/shots/${look}/${name}.png`, animations: "disabled" });
        expect(
          await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth),
          `${look}: nothing sticks out to the side`,
        ).toBe(0);
        const axe = new AxeBuilder({ page }).setLegacyMode();
        if (scheme === "dark") axe.withRules("color-contrast"); // nothing but the colours is another
        const found = await axe.analyze();
        expect(
          found.violations
            .filter((v) => v.impact === "serious" || v.impact === "critical" || outline.includes(v.id))
            .map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" | ")}`),
          `${look}: what axe finds serious`,
        ).toEqual([]);
      }
    }
    await check();
  });
}

for (const { at, asked } of [
  { at: () => `${shop()}/runs`, asked: ["search?limit=100"] },
  { at: () => shop(), asked: ["overview", "apps"] },
]) {
  test(`${asked.join(" and ")} asked for once, before the program is there`, async ({ page }) => {
    await page.goto(at());
    await expect(page.getByText("shop-checkout").first()).toBeVisible();
    const gets = await page.evaluate(() =>
      performance.getEntriesByType("resource").map((entry) => {
        const { name, startTime, responseEnd } = entry as PerformanceResourceTiming;
        return { name: name.split("/").at(-1)!, startTime, responseEnd };
      }),
    );
    const program = gets.find((get) => /^main-.*\.js$/.test(get.name))!;
    for (const name of asked) {
      const those = gets.filter((get) => get.name === name);
      expect(those, name).toHaveLength(1);
      expect(those[0]!.startTime).toBeLessThan(program.responseEnd);
    }
  });
}
