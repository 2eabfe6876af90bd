import { expect, test } from "@playwright/test";
import { Lab, send } from "./setup";
import { watch } from "./watch";

// What people type and click does what they mean, and pages say what is so.

const lab = new Lab(() => ({
  merge: [{ debounce: { period: "1h" } }, async () => "merged"],
  aaa: [{ name: "Zebra crossing" }, async () => "crossed"],
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

test("runs that cannot be read are not told to be none", async ({ page }) => {
  const [event] = await send(lab.base, { name: "lab/aaa" });
  await page.route(/event_id=/, (route) => route.fulfill({ status: 403, json: { error: "runs are not for everybody" } }));
  await page.goto(`${lab.base}/events/${event}`);
  await expect(page.getByText("runs are not for everybody")).toBeVisible();
  await expect(page.getByText("It started nothing")).toHaveCount(0);
});

test("what was typed in an editor does not go away by a click beside it, or by Escape", async ({ page }) => {
  await page.goto(`${lab.base}/events`);
  const dialog = page.getByRole("dialog");
  const beside = () => page.mouse.click(5, 5);
  for (const leave of [beside, () => page.keyboard.press("Escape")]) {
    await page.getByRole("button", { name: "Send an event" }).click();
    await expect(dialog.getByRole("textbox")).toBeFocused();
    await leave();
    await expect(dialog, "there was nothing to lose").toHaveCount(0);
  }
  await page.getByRole("button", { name: "Send an event" }).click();
  await expect(dialog.getByRole("textbox")).toBeFocused();
  await page.keyboard.press("Control+A");
  await page.keyboard.insertText('{"name": "lab/typed"}');
  await beside();
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await expect(dialog.getByRole("alert")).toHaveText("What you have edited is still here. Leave it throws it away.");
  await expect(dialog.getByRole("textbox")).toContainText("lab/typed");
  await dialog.getByRole("button", { name: "Leave it" }).click();
  await expect(dialog).toHaveCount(0);
});

test("the filter's completions come when somebody types or asks for them, and lie over nothing before", async ({ page }) => {
  await page.goto(`${lab.base}/runs`);
  const filter = page.getByRole("combobox", { name: "Filter runs" });
  const list = page.getByRole("listbox", { name: "Completions" });
  await filter.click();
  await expect(filter).toBeFocused();
  await page.getByRole("button", { name: "Failed", exact: true }).click();
  await expect(page).toHaveURL(/status(:|%3A)failed/);
  await page.getByRole("button", { name: "All", exact: true }).click();
  await filter.click();
  await expect(list).toHaveCount(0);
  await page.keyboard.press("ArrowDown");
  await expect(list.getByRole("option", { selected: true })).toContainText("status:");
  await page.keyboard.press("Escape");
  await expect(list).toHaveCount(0);
  await page.keyboard.press("Control+Space");
  await expect(list.getByRole("option").first()).toBeVisible();
  await page.keyboard.press("Escape");
  await page.keyboard.type("sta");
  await expect(list.getByRole("option")).toHaveCount(1);
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await expect(filter).toHaveValue("status:");
  await expect(list.getByRole("option", { name: "status:failed" })).toBeVisible();
});

test("functions are listed and found by the names that are shown", async ({ page }) => {
  await page.goto(`${lab.base}/functions`);
  await expect(page.locator("#content [data-row] .font-medium")).toHaveText([/merge/, /pack/, "Zebra crossing"]);
  await page.keyboard.press("Control+K");
  for (const text of ["zebra", "lab-aaa"]) {
    await page.getByRole("combobox").fill(text);
    await expect(page.getByRole("option").first()).toContainText("Zebra crossing");
  }
  const error = "TypeError: a is undefined";
  await page.getByRole("combobox").fill(error);
  await expect(page.getByRole("option")).toHaveText([new RegExp(`Runs that match ${error}`)]);
  await page.keyboard.press("Enter");
  await expect(page.getByRole("combobox", { name: "Filter runs" })).toHaveValue(error);
  await expect(page.getByRole("alert")).toHaveCount(0);
});

for (const [of, userAgent, key] of [
  ["Linux", "Mozilla/5.0 (X11; Linux x86_64)", "Ctrl"],
  ["a Mac", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)", "⌘"],
] as const) {
  test.describe("on a keyboard", () => {
    test.use({ userAgent });
    test(`keys are called as on that of ${of}`, async ({ page }) => {
      await page.goto(`${lab.base}/runs`);
      const box = page.getByRole("button", { name: "Find or do" }).locator("kbd");
      await expect(box, "at first").toHaveText(key === "⌘" ? "⌘K" : "Ctrl K");
      await expect(page.getByRole("region", { name: "Notifications" })).toBeAttached();
      await expect(box, "and when the dashboard is there").toHaveText(key === "⌘" ? "⌘K" : "Ctrl K");
      await page.keyboard.press("?");
      await expect(page.getByRole("dialog").locator("kbd").filter({ hasText: key })).toHaveCount(1);
    });
  });
}

test("a question that was left is asked anew as it was at first", async ({ page }) => {
  await page.goto(`${lab.base}/functions/lab-merge`);
  const dialog = page.getByRole("dialog");
  await page.getByRole("button", { name: "Pause" }).click();
  await dialog.getByLabel(/^Why/).fill("the printer is broken");
  await dialog.getByLabel(/No request is made/).check();
  await dialog.getByRole("button", { name: "Leave it" }).click();
  await expect(dialog).toHaveCount(0);
  await page.getByRole("button", { name: "Pause" }).click();
  await expect(dialog.getByLabel(/^Why/)).toHaveValue("");
  await expect(dialog.getByLabel(/Nothing begins/)).toBeChecked();
});
