import { expect, test } from "@playwright/test";
import { Lab, send } from "./setup";
import { watch } from "./watch";

// What people type and click does what they mean, and pages say what is so.

const lab = new Lab(() => ({
  merge: [{ debounce: { period: "1h" } }, async () => "merged"],
  pack: [{ batchEvents: { maxSize: 2, timeout: "60s" } }, async () => "packed"],
}));

let check: () => Promise<void>;
test.use({ viewport: { width: 1440, height: 900 } });
test.beforeEach(async ({ page }) => {
  check = await watch(page);
});
test.afterEach(() => check());

test("an event that waits for others says so, and what becomes of it", async ({ page }) => {
  const [merged] = await send(lab.base, { name: "lab/merge" });
  await page.goto(`${lab.base}/events/${merged}`);
  await expect(page.getByText(/^Waits for lab-merge until .* \(in (1 h|59 m)\): a later event takes its place/)).toBeVisible();
  await expect(page.getByText("It started nothing")).toHaveCount(0);
  await send(lab.base, { name: "lab/merge" });
  await expect(page.getByText("a later event took its place")).toBeVisible();

  const [packed] = await send(lab.base, { name: "lab/pack" });
  await page.goto(`${lab.base}/events/${packed}`);
  await expect(page.getByText(/^Waits for lab-pack until .*: the run starts with all events of its batch/)).toBeVisible();
  await send(lab.base, { name: "lab/pack" });
  await expect(page.locator("#content [data-row]")).toContainText("lab-pack");
  await expect(page.getByText("Waits for lab-pack")).toHaveCount(0);
});
