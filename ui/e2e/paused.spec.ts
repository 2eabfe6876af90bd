import { AxeBuilder } from "@axe-core/playwright";
import { expect, type Page, test } from "@playwright/test";
import { ended, Lab, send } from "./setup";
import { watch } from "./watch";

// What is held back for one value of a key is not the whole of a function.

const key = "event.data.card.number";
const lab = new Lab(() => ({
  pay: [{ retries: 0, concurrency: { limit: 5, key } }, async ({ step }) => step.run("charge", async () => "paid")],
}));

let check: () => Promise<void>;
test.use({ viewport: { width: 1440, height: 900 } });
test.beforeEach(async ({ page }) => {
  check = await watch(page);
});
test.afterEach(() => check());

const ask = async (what: "pause" | "resume", body: object) => {
  const answer = await fetch(`${lab.base}/v1/functions/lab-pay/${what}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  expect(answer.status, await answer.text()).toBe(200);
};
const paused = async (): Promise<string[]> =>
  (await (await fetch(`${lab.base}/v1/controls`)).json()).data
    .filter((c: { paused?: string }) => c.paused)
    .map((c: { name: string; value?: string }) => [c.name, c.value].filter(Boolean).join(" "))
    .sort();
const shot = (page: Page, name: string) => page.screenshot({ path: `e2e/shots/paused/${name}.png`, animations: "disabled" });

test("a paused value of a key and the pause of the whole function are told apart, and each is resumed", async ({ page }) => {
  await ask("pause", { key, value: "c42", reason: "does not pay" });
  await ask("pause", { key, value: "c43", hold: "all", refuse: true });
  const [other] = await send(lab.base, { name: "lab/pay", data: { card: { number: "c1" } } });
  expect((await ended(lab.base, other!))[0]!.status).toBe("Completed");

  await page.goto(lab.base);
  const line = page.getByRole("link", { name: `lab-pay is paused for ${key} = c42` });
  await expect(line).toContainText("does not pay");
  await shot(page, "overview");
  await line.click();
  await expect(page).toHaveURL(`${lab.base}/functions/lab-pay`);
  await expect(page.getByRole("heading", { name: "pay", exact: true })).toBeVisible();
  await expect(page.getByText("No app serves this function now")).toHaveCount(0);
  const values = page.getByRole("region", { name: "Paused values" });
  await expect(values).toContainText("Paused for 2 values of a key. Runs with other values are not held back by that.");
  await expect(values.getByRole("listitem").filter({ hasText: "c42" })).toContainText("does not pay. What has begun goes on");
  await expect(values.getByRole("listitem").filter({ hasText: "c43" })).toContainText("No request is made; what would start is skipped.");

  await page.getByRole("button", { name: "Pause", exact: true }).click();
  await page.getByLabel("Why").fill("the bank is down");
  await page.getByRole("dialog").getByRole("button", { name: "Pause" }).click();
  await expect(page.getByText(/^Paused by .*: the bank is down\./)).toBeVisible();
  await expect(page.getByRole("button", { name: "Pause", exact: true })).toHaveCount(0);
  expect(await paused()).toEqual(["lab-pay", "lab-pay c42", "lab-pay c43"]);
  for (const width of [1440, 360])
    for (const colorScheme of ["light", "dark"] as const) {
      await page.setViewportSize({ width, height: 900 });
      await page.emulateMedia({ colorScheme });
      await expect(page.getByRole("dialog")).toHaveCount(0);
      await expect(page.getByText("It is paused")).toHaveCount(0); // what lay over the page is gone
      expect(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)).toBe(0);
      expect((await new AxeBuilder({ page }).analyze()).violations, `${width} ${colorScheme}`).toEqual([]);
      await shot(page, `function-${width}-${colorScheme}`);
    }
  await page.setViewportSize({ width: 1440, height: 900 });

  await page.getByRole("button", { name: `Resume ${key} = c42` }).click();
  await expect(values.getByRole("listitem")).toHaveCount(1);
  expect(await paused()).toEqual(["lab-pay", "lab-pay c43"]);
  await page.getByRole("button", { name: "Resume lab-pay" }).click();
  await expect(page.getByRole("button", { name: "Pause", exact: true })).toBeVisible();
  expect(await paused()).toEqual(["lab-pay c43"]);
  await page.goto(`${lab.base}/functions`);
  await expect(page.getByText("paused for 1 value", { exact: true })).toBeVisible();
  await ask("resume", { key, value: "c43" });
  await expect(page.getByText("paused for 1 value", { exact: true })).toHaveCount(0);
});

test("of many paused values some are shown, and how many more there are", async ({ page }) => {
  const long = "v".repeat(3000);
  const all = [long, ...Array.from({ length: 24 }, (_, i) => `c-${i}`)];
  for (const value of all) await ask("pause", { key, value });
  await page.setViewportSize({ width: 360, height: 900 });
  await page.goto(`${lab.base}/functions/lab-pay`);
  const values = page.getByRole("region", { name: "Paused values" });
  await expect(values).toContainText("Paused for 25 values of a key");
  await expect(values.getByRole("listitem")).toHaveCount(5);
  await expect(values).toContainText("and 20 more");
  await shot(page, "many-360");
  await values.getByRole("button", { name: "Show 10 more" }).click();
  await expect(values.getByRole("listitem")).toHaveCount(15);
  await values.getByRole("button", { name: "Show 10 more" }).click();
  await expect(values.getByRole("listitem")).toHaveCount(25);
  expect(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)).toBe(0);
  for (const value of all) await ask("resume", { key, value });
  await expect(values).toHaveCount(0);
});

test("a run that somebody has invoked is not called one of another run", async ({ page }) => {
  await page.goto(`${lab.base}/functions/lab-pay`);
  await page.getByRole("button", { name: "Invoke" }).click();
  const editor = page.getByTestId("editor").getByRole("textbox");
  await editor.press("ControlOrMeta+a");
  await page.keyboard.insertText('{"order": "o-invoked"}');
  await page.keyboard.press("ControlOrMeta+Enter");
  await expect(page).toHaveURL(/\/runs\/[0-9A-Z]{26}/);
  await page.goto(`${lab.base}/runs`);
  await expect(page.getByRole("listitem").filter({ hasText: "o-invoked" })).toContainText("invoked directly · order: o-invoked");
});
