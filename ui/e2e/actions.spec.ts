import { expect, type Page, test } from "@playwright/test";
import { ended, openShop, runsOf, send } from "./setup";
import { watch } from "./watch";

openShop({ used: false });
const shop = () => process.env.PAWL_SHOP!;
const ids = () => JSON.parse(process.env.PAWL_RUNS!) as Record<string, string>;

let check: () => Promise<void>;
test.beforeEach(async ({ page }) => {
  check = await watch(page);
});
test.afterEach(() => check());

const shot = (page: Page, name: string) => page.screenshot({ path: `e2e/shots/actions/${name}.png`, animations: "disabled" });

test("two clicks lead from the overview to the stack of the newest failure", async ({ page }) => {
  const [event] = await send(shop(), { name: "order/placed", data: { id: "o-1", customer: "c-newest", amount: 1, card: "declined" } });
  await ended(shop(), event!);
  await page.goto(shop());
  await page.getByTestId("failures").getByRole("link").first().click();
  const failure = page.getByTestId("failure");
  await expect(failure.getByTestId("stack")).toContainText(/app\.mjs:\d+:\d+/);
  // All that F-15 asks for, on one page.
  for (const text of ["charge card", "try 1", "CardDeclined", "card of customer c-newest was declined", "function version"])
    await expect(failure).toContainText(text);
  await expect(page.getByRole("heading", { name: "shop-checkout" })).toBeVisible();
  await expect(page.getByText('"c-newest"')).toBeVisible();
  await expect(page.getByRole("button", { name: "Retry", exact: true })).toBeVisible();
});

/** Whether all pages that are loaded ahead are there. */
const pagesAhead = () => performance.getEntriesByName("pages-loaded").length > 0;

test("the list of runs and the overview move by themselves, and nothing polls", async ({ page }) => {
  await page.goto(`${shop()}/runs?q=function%3Ashop-refund`);
  await expect(page.getByRole("listitem")).toHaveCount(1);
  await expect(page.getByText("Live")).toBeVisible();
  await expect.poll(() => page.evaluate(pagesAhead), "the pages that are loaded ahead").toBe(true);
  const asked: string[] = [];
  page.on("request", (request) => asked.push(new URL(request.url()).pathname));
  await page.waitForTimeout(3000);
  expect(asked, "a page on which nothing happens asks for nothing").toEqual([]);
  const [event] = await send(shop(), { name: "refund/asked", data: { order: "o-live", amount: 5 } });
  await expect(page.getByRole("listitem")).toHaveCount(2);
  await expect(page.getByRole("listitem").first()).toContainText("Running");
  await page.getByRole("listitem").first().getByRole("link").click();
  await expect(page.getByText('waits for an event "refund/approved"')).toBeVisible();
  await expect(page.getByRole("button", { name: /^wait for approval: waiting/ })).toBeVisible();
  await send(shop(), { name: "refund/approved", data: { order: "o-live", by: "Ada" } });
  await expect(page.getByRole("button", { name: /^pay back: completed/ })).toBeVisible();
  await expect(page.getByText("Completed").first()).toBeVisible();
  await ended(shop(), event!);
});

test("a run is cancelled after a question", async ({ page }) => {
  const [event] = await send(shop(), { name: "refund/asked", data: { order: "o-cancel", amount: 5 } });
  let run: string | undefined;
  await expect(async () => {
    run = (await runsOf(shop(), event!))[0]?.run_id;
    expect(run).toBeDefined();
  }).toPass();
  await page.goto(`${shop()}/runs/${run}`);
  await expect(page.getByRole("button", { name: /^wait for approval/ })).toBeVisible();
  await page.getByRole("button", { name: "Cancel", exact: true }).click();
  await expect(page.getByRole("dialog")).toContainText("That cannot be undone");
  await shot(page, "cancel");
  await page.getByRole("button", { name: "Leave it" }).click();
  await expect(page.getByRole("dialog")).toHaveCount(0);
  await page.keyboard.press("x");
  await page.getByRole("button", { name: "Cancel the run" }).click();
  await expect(page.getByText("The run is cancelled")).toBeVisible();
  await expect(page.getByText("Cancelled").first()).toBeVisible();
});

test("an input is edited and the dead letter retried with it", async ({ page }) => {
  const [event] = await send(shop(), {
    name: "order/placed",
    data: { id: "o-edit", customer: "c-edit", amount: 12345678901234567890n.toString(), card: "declined" },
  });
  const [run] = await ended(shop(), event!);
  await page.goto(`${shop()}/runs/${run!.run_id}`);
  await page.getByRole("button", { name: "Edit and retry" }).click();
  const editor = page.getByTestId("editor").getByRole("textbox");
  await expect(editor).toContainText("declined");
  await shot(page, "edit");
  await editor.press("ControlOrMeta+a");
  await page.keyboard.insertText('{"id": "o-edit", "customer": "c-edit", "card": ');
  await page.getByRole("button", { name: "Start the run" }).click();
  await expect(page.getByRole("alert").filter({ hasText: "This is not JSON" })).toBeVisible();
  await editor.press("ControlOrMeta+a");
  await page.keyboard.insertText('{"id": "o-edit", "customer": "c-edit", "card": "ok", "amount": 12345678901234567890}');
  await page.getByRole("button", { name: "Start the run" }).click();
  await expect(page.getByText("It is tried again")).toBeVisible();
  await expect(page.getByRole("list", { name: "The run and what repeats it" })).toContainText("This run, with other data");
  await expect(page.getByText("12345678901234567890").first()).toBeVisible();
  await expect(page.getByRole("button", { name: /^send receipt: completed/ })).toBeVisible({ timeout: 60_000 });
});

test("a run is run again from a step, whose earlier results are copied", async ({ page }) => {
  await page.goto(`${shop()}/runs/${ids().good}`);
  await page.getByRole("button", { name: /^send receipt: completed/ }).click();
  await expect(page.getByRole("region", { name: "Step send receipt" }).getByRole("heading", { name: /^Result/ })).toBeVisible();
  await shot(page, "step");
  await page.getByRole("button", { name: "Rerun from here" }).click();
  await page.getByRole("button", { name: "Start the run" }).click();
  await expect(page.getByText("A run has started")).toBeVisible();
  await expect(page.getByText("copied").first()).toBeVisible();
});

test("what was sent in a try that failed, and what came back, is shown as it was", async ({ page }) => {
  await page.goto(`${shop()}/runs/${ids().failing}`);
  const failure = page.getByTestId("failure");
  await failure.getByRole("button", { name: "Request and answer" }).click();
  const exchange = failure.getByTestId("exchange");
  await expect(exchange).toContainText("POST http://127.0.0.1:");
  await expect(exchange).toContainText("byte by byte");
  await expect(exchange).toContainText("X-Inngest-Sdk");
  await expect(exchange.getByRole("heading")).toContainText([/POST/, /^(206|400|500) /]);
  await shot(page, "exchange");
});

test("a step's result is edited, and the run goes on from it", async ({ page }) => {
  const [event] = await send(shop(), { name: "order/placed", data: { id: "o-given", customer: "c-given", amount: 1, card: "declined" } });
  const [run] = await ended(shop(), event!);
  await page.goto(`${shop()}/runs/${run!.run_id}`);
  await page.getByRole("button", { name: /^charge card: failed/ }).click();
  await page.getByRole("button", { name: "Edit the result and rerun" }).click();
  const editor = page.getByTestId("editor").getByRole("textbox");
  await editor.press("ControlOrMeta+a");
  await page.keyboard.insertText('{"charge": "ch_by_hand", "amount": 12345678901234567890}');
  await shot(page, "edit-result");
  await page.getByRole("button", { name: "Start the run" }).click();
  await expect(page.getByText("A run has started")).toBeVisible();
  await expect(page.getByRole("button", { name: /^send receipt: completed/ })).toBeVisible({ timeout: 60_000 });
  await expect(page.getByText("ch_by_hand").first()).toBeVisible();
  await page.getByRole("button", { name: /^charge card: completed/ }).click();
  const step = page.getByRole("region", { name: "Step charge card" });
  await expect(step.getByText("12345678901234567890")).toBeVisible();
  await expect(step.getByText("Given by whoever started this run")).toBeVisible();
  // The chain of replays leads back to the run that failed.
  const chain = page.getByRole("list", { name: "The run and what repeats it" });
  await expect(chain.getByRole("listitem")).toHaveCount(2);
  await shot(page, "chain");
  await chain.getByRole("link").click();
  await expect(page.getByTestId("failure")).toBeVisible();
});

test("dead letters are retried in bulk with progress, and one is discarded", async ({ page }) => {
  const [event] = await send(shop(), { name: "order/placed", data: { id: "o-bulk", customer: "c-1", amount: 1, card: "declined" } });
  await ended(shop(), event!);
  await page.goto(`${shop()}/dead-letters`);
  await page
    .getByRole("link", { name: /insufficient funds/ })
    .first()
    .click();
  await page.getByRole("button", { name: "Retry them all" }).click();
  await shot(page, "retry-many");
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await expect(page.getByText("Bulk retries")).toBeVisible();
  await expect(page.getByText(/failed again/).first()).toBeVisible({ timeout: 60_000 });
  await shot(page, "bulk");
  // The card leads to those that failed again, and each says what it was a retry of.
  await page
    .getByRole("button", { name: /failed again/ })
    .first()
    .click();
  const again = page.getByRole("list", { name: "Runs that failed again" });
  await expect(again.getByRole("link").first()).toBeVisible();
  await expect(page.getByText(/^failed again, a/).first()).toBeVisible();
  await shot(page, "failed-again");
  await again.getByRole("link").first().click();
  await expect(page).toHaveURL(/\/runs\//);
  await page.getByRole("button", { name: "Discard", exact: true }).click();
  const discard = page.getByRole("dialog").getByRole("button", { name: "Discard" });
  await expect(discard).toBeDisabled();
  await page.getByLabel("Why it need not be run again").fill("a test order");
  await discard.click();
  await expect(page.getByText("Discarded: a test order")).toBeVisible();
});

test("one dead letter is discarded from the list, and a group of them", async ({ page }) => {
  for (const customer of ["c-d1", "c-d2"]) {
    const [event] = await send(shop(), { name: "order/placed", data: { id: customer, customer, amount: 1, card: "declined" } });
    await ended(shop(), event!);
  }
  await page.goto(`${shop()}/dead-letters`);
  await page
    .getByRole("link", { name: /insufficient funds/ })
    .first()
    .click();
  await page
    .getByRole("button", { name: /^Discard run/ })
    .first()
    .click();
  const discard = page.getByRole("dialog").getByRole("button", { name: "Discard" });
  await expect(discard).toBeDisabled();
  await page.getByLabel("Why it need not be run again").fill("a test order");
  await discard.click();
  await expect(page.getByRole("dialog")).toHaveCount(0);
  await page.setViewportSize({ width: 360, height: 800 });
  await page.emulateMedia({ colorScheme: "dark" });
  await shot(page, "group-360-dark");
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.getByRole("button", { name: "Discard them all" }).click();
  await page.getByLabel("Why it need not be run again").fill("orders of a test");
  await shot(page, "discard-many");
  await discard.click();
  await expect(page.getByText(/[1-9]\d* dead letters? discarded/)).toBeVisible();
  await expect(page.getByText("None of them is open")).toBeVisible();
  await shot(page, "discarded");
  await page.goto(`${shop()}/dead-letters?state=all`);
  await shot(page, "groups");
});

test("a function is paused, resumed, limited and invoked, and the audit log tells", async ({ page }) => {
  await page.goto(`${shop()}/functions/shop-ship`);
  await page.getByRole("button", { name: "Pause", exact: true }).click();
  await page.getByLabel("Why").fill("the printer is broken");
  await shot(page, "pause");
  await page.getByRole("dialog").getByRole("button", { name: "Pause" }).click();
  await expect(page.getByText("the printer is broken")).toBeVisible();
  await page.getByRole("button", { name: "Invoke" }).click();
  const editor = page.getByTestId("editor").getByRole("textbox");
  await editor.press("ControlOrMeta+a");
  await page.keyboard.insertText('{"order": "o-invoked"}');
  await page.keyboard.press("ControlOrMeta+Enter");
  await expect(page.getByText(/is paused since/)).toBeVisible();
  await shot(page, "why-paused");
  await page.goto(`${shop()}/functions/shop-ship`);
  await page.getByRole("button", { name: "Resume" }).click();
  await expect(page.getByRole("button", { name: "Pause", exact: true })).toBeVisible();
  await page.getByRole("button", { name: "Limits" }).click();
  await editor.press("ControlOrMeta+a");
  await page.keyboard.insertText('{"concurrency": 7}');
  await page.getByRole("button", { name: "Set the limits" }).click();
  await expect(page.getByText("In place of it")).toBeVisible();
  await page.goto(`${shop()}/audit`);
  await expect(page.getByText("limit").first()).toBeVisible();
  await expect(page.getByText("pause").first()).toBeVisible();
  await shot(page, "audit");
});

test("an event is sent, and a schedule made and removed", async ({ page }) => {
  await page.goto(`${shop()}/events`);
  await page.getByRole("button", { name: "Send an event" }).click();
  const editor = page.getByTestId("editor").getByRole("textbox");
  await editor.press("ControlOrMeta+a");
  await page.keyboard.insertText('{"name": "parcel/requested", "data": {"order": "o-sent"}}');
  await page.getByRole("button", { name: "Send", exact: true }).click();
  await expect(page.getByRole("heading", { name: "parcel/requested" })).toBeVisible();
  await expect(page.getByRole("link", { name: /shop-ship/ })).toContainText("Completed");

  await page.goto(`${shop()}/schedules`);
  await page.getByRole("button", { name: "Add a schedule" }).click();
  await page.getByLabel("Function").selectOption("shop-ship");
  await page.getByLabel("Cron").fill("0 9 * * 1");
  await expect(page.getByText("At 09:00, only on Monday")).toBeVisible();
  await shot(page, "schedule");
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await expect(page.getByText("made by a person")).toBeVisible();
  await page.getByRole("button", { name: /Remove the schedule/ }).click();
  await page.getByRole("button", { name: "Remove", exact: true }).click();
  await expect(page.getByText("made by a person")).toHaveCount(0);
});

test("editors and the filter know what events have", async ({ page }) => {
  await page.goto(`${shop()}/events?name=order%2Fplaced`);
  await page.getByRole("button", { name: "Send an event" }).click();
  const editor = page.getByTestId("editor").getByRole("textbox");
  await editor.press("ControlOrMeta+a");
  await page.keyboard.insertText('{"name": "order/placed", "data": {');
  await expect(page.getByText("what the newest events have")).toBeVisible();
  await page.keyboard.type('"cust');
  await expect(page.getByTestId("editor").getByRole("option").first()).toContainText('"customer"');
  await shot(page, "hints");
  // A list that has just opened anew takes no key: Enter goes into the text then, and is taken back.
  await expect(async () => {
    await page.keyboard.press("Enter");
    const taken = await editor.textContent();
    if (!taken?.includes('"customer": ""')) {
      await page.keyboard.press("ControlOrMeta+z");
      await page.keyboard.press("Control+Space");
    }
    expect(taken).toContain('"customer": ""');
  }).toPass();

  await page.goto(`${shop()}/runs?q=event%3Aorder%2Fplaced`);
  const filter = page.getByRole("combobox");
  await filter.fill("event:order/placed data.cust");
  await expect(page.getByRole("option", { name: /data.customer=/ })).toBeVisible();
  await shot(page, "paths");
});

test("what changed a function is told, and how a group of dead letters grew", async ({ page }) => {
  await page.goto(`${shop()}/functions/shop-checkout`);
  await expect(page.getByRole("list", { name: "Versions" })).toContainText("Version 1");
  await page.goto(`${shop()}/dead-letters?state=all`);
  await page
    .getByRole("link", { name: /insufficient funds/ })
    .first()
    .click();
  await expect(page.getByRole("img", { name: /failures? in 48 hours/ })).toBeVisible();
  await expect(page.getByRole("img", { name: /failures? in 30 days/ })).toBeVisible();
  await shot(page, "trend");
});

test("everything is done by keyboard", async ({ page }) => {
  await page.goto(shop());
  await expect(page.getByRole("heading", { name: "Overview" })).toBeVisible();
  await expect(page.getByRole("region", { name: "Notifications" })).toBeAttached(); // which comes last, after the keys
  await page.keyboard.press("?");
  await expect(page.getByRole("dialog")).toContainText("Go to runs");
  await shot(page, "keys");
  await page.keyboard.press("Escape");
  await page.keyboard.press("g");
  await page.keyboard.press("r");
  await expect(page.getByRole("list", { name: "Runs" })).toBeVisible(); // the overview has lists too
  await page.keyboard.press("/");
  await page.keyboard.type("status:fai");
  await page.keyboard.press("ArrowDown");
  await shot(page, "completion");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/status/);
  await expect(page.getByRole("listitem").getByText("Completed")).toHaveCount(0);
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/\/runs\/[0-9A-Z]{26}/);
  await expect(page.getByTestId("failure")).toBeVisible();
  await page.keyboard.press("ControlOrMeta+k");
  await page.keyboard.type("nightly");
  await expect(page.getByRole("option").first()).toContainText("shop-nightly-report");
  await shot(page, "palette");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { name: "Nightly report" })).toBeVisible();
  await page.goBack();
  await expect(page.getByTestId("failure")).toBeVisible();
});

test("a key that is pressed twice or held starts one run", async ({ page }) => {
  const [event] = await send(shop(), { name: "rates/stale" });
  const [run] = await ended(shop(), event!);
  await page.goto(`${shop()}/runs/${run!.run_id}`);
  await expect(page.getByRole("button", { name: "Rerun", exact: true })).toBeEnabled();
  let asked = 0;
  let answer = () => {};
  const held = new Promise<void>((done) => {
    answer = done;
  });
  await page.route("**/rerun", async (route) => {
    asked++;
    await held;
    await route.continue();
  });
  for (let i = 0; i < 5; i++) await page.keyboard.down("r"); // all but the first are repeats
  await page.keyboard.up("r");
  await expect(page.getByRole("button", { name: "Rerun", exact: true })).toBeDisabled();
  await page.keyboard.press("r");
  await page.getByRole("button", { name: "Rerun", exact: true }).click({ force: true });
  answer();
  await expect(page.getByText("A run has started")).toBeVisible();
  await expect(page).not.toHaveURL(new RegExp(run!.run_id));
  expect(asked).toBe(1);
  await expect(page.getByRole("list", { name: "The run and what repeats it" }).getByRole("listitem")).toHaveCount(2);
});

test("a run whose start was not answered is the one that is started when somebody tries again", async ({ page }) => {
  const [event] = await send(shop(), { name: "rates/stale" });
  const [run] = await ended(shop(), event!);
  await page.goto(`${shop()}/runs/${run!.run_id}`);
  const rerun = page.getByRole("button", { name: "Rerun", exact: true });
  await expect(rerun).toBeEnabled();
  // The request arrives, and its answer is lost.
  await page.route(
    "**/rerun",
    async (route) => {
      await route.fetch();
      await route.abort("connectionreset");
    },
    { times: 1 },
  );
  await rerun.click();
  await expect(page.getByText("It could not be started")).toBeVisible();
  await rerun.click();
  await expect(page.getByText("A run has started")).toBeVisible();
  await expect(page.getByRole("list", { name: "The run and what repeats it" }).getByRole("listitem")).toHaveCount(2);
});

test("a wrong filter says what is wrong", async ({ page }) => {
  await page.goto(`${shop()}/runs`);
  await page.getByRole("combobox").fill("statsu:failed");
  await page.keyboard.press("Escape");
  await expect(page.getByRole("alert")).toContainText("there is no statsu: here");
});

test("a time that no calendar has is a wrong filter, and nothing more", async ({ page }) => {
  await page.goto(`${shop()}/runs?q=after%3A999999999d`);
  await expect(page.getByRole("alert")).toContainText("after: write a time such as");
  await expect(page.getByRole("navigation", { name: "Main" })).toBeVisible();
});

test("an address says what it says, also when it looks like a number or like JSON", async ({ page }) => {
  for (const text of ["503", "true", "null", "1.50", '{"a":1}', '"x"']) {
    await page.goto(`${shop()}/runs?q=${encodeURIComponent(text)}`);
    await expect(page.getByRole("combobox", { name: "Filter runs" })).toHaveValue(text);
  }
  await page.goto(`${shop()}/events?name=123&hours=168`);
  await expect(page.getByLabel("Name of the event")).toHaveValue("123");
  await expect(page.getByRole("tab", { name: "7 d" })).toHaveAttribute("aria-selected", "true");
  await page.getByRole("tab", { name: "All" }).click();
  await expect(page).toHaveURL(/\?name=123&hours=8760$/);
});

test("an error of a page leaves what is around it, and a way on", async ({ browser }) => {
  const page = await browser.newPage(); // on which an error is expected
  await page.route("**/v1/schedules**", (route) => route.fulfill({ json: { data: [{ id: "x", function: "f" }], metadata: {} } }));
  await page.goto(`${shop()}/schedules`);
  await expect(page.getByRole("heading", { name: "This page cannot be shown" })).toBeVisible();
  await expect(page.getByText("The server does not answer")).toHaveCount(0);
  await page.unroute("**/v1/schedules**");
  await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name: "Apps" }).click();
  await expect(page.getByRole("heading", { name: "Apps" })).toBeVisible();
  await page.close();
});

test("a page that was not opened before is there when the server is not", async ({ page }) => {
  await page.goto(`${shop()}/runs`);
  await expect.poll(() => page.evaluate(pagesAhead)).toBe(true);
  await page.route("**/*", (route) => route.abort());
  await page.getByRole("link", { name: "Schedules" }).click();
  await expect(page.getByRole("heading", { name: "Schedules" })).toBeVisible();
  await expect(page.getByText("The server does not answer").first()).toBeVisible({ timeout: 30_000 });
});

test("a page that cannot be loaded says so in its place, and comes when the server is back", async ({ page }) => {
  await page.route("**/assets/Schedules-*.js", (route) => route.abort());
  await page.goto(`${shop()}/runs`);
  await page.getByRole("link", { name: "Schedules" }).click();
  await expect(page).toHaveURL(/schedules$/);
  await expect(page.getByRole("heading", { name: "The server does not answer" })).toBeVisible();
  await expect(page.getByRole("navigation", { name: "Main" })).toBeVisible();
  await page.unroute("**/assets/Schedules-*.js");
  await expect(page.getByRole("heading", { name: "Schedules" })).toBeVisible();
});

for (const other of [true, false])
  test(`a server with another version of the dashboard gives its own, and no other does: ${other}`, async ({ page }) => {
    let loads = 0;
    page.on("load", () => loads++);
    await page.route("**/assets/Schedules-*.js", (route) => route.fulfill({ status: 404 }), { times: 1 });
    await page.route(`${shop()}/`, async (route) => {
      if (!other || route.request().isNavigationRequest()) return route.continue();
      return route.fulfill({ contentType: "text/html", body: '<script src="./assets/first-other.js"></script>' });
    });
    await page.goto(`${shop()}/runs`);
    await page.getByRole("link", { name: "Schedules" }).click();
    await expect(page.getByRole("heading", { name: "Schedules" })).toBeVisible();
    expect(loads).toBe(other ? 2 : 1);
  });

test("what is done while the server is away says that nothing is known to have changed", async ({ page }) => {
  await page.goto(`${shop()}/runs/${ids().good}`);
  await expect(page.getByRole("button", { name: "Rerun", exact: true })).toBeEnabled();
  await expect(page.getByRole("region", { name: "Notifications" })).toBeAttached();
  await page.route("**/rerun", (route) => route.abort());
  await page.getByRole("button", { name: "Rerun", exact: true }).click();
  await expect(page.getByText("The server cannot be reached. As far as is known here, nothing was changed.")).toBeVisible();
});

test("a server that is away is told of, and what comes after is caught up with", async ({ page, context }) => {
  await page.goto(`${shop()}/runs?q=function%3Ashop-refresh-rates`);
  await expect(page.getByText("Live")).toBeVisible();
  const before = await page.getByRole("listitem").count();
  // The stream ends and does not come back, as when the server is restarted.
  const cdp = await context.newCDPSession(page);
  await cdp.send("Network.enable");
  await cdp.send("Network.emulateNetworkConditions", { offline: true, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
  await page.evaluate(() => {
    // A connection that is open outlives the emulation: hide and show the page, so that it is made anew.
    Object.defineProperty(document, "hidden", { value: true, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
    Object.defineProperty(document, "hidden", { value: false, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await expect(page.getByText("The server does not answer. What you see may be old")).toBeVisible();
  await shot(page, "offline");
  const [event] = await send(shop(), { name: "rates/stale" });
  await ended(shop(), event!);
  await cdp.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
  await expect(page.getByRole("listitem")).toHaveCount(before + 1, { timeout: 40_000 });
  await expect(page.getByText("Live")).toBeVisible();
});

test("a list that was scrolled is there when the window becomes narrow", async ({ page }) => {
  await page.setViewportSize({ width: 1440, height: 400 });
  await page.goto(`${shop()}/runs`);
  await expect(page.getByRole("listitem").first()).toBeVisible();
  await page.evaluate(() => scrollTo(0, 1200));
  await expect(page.getByRole("listitem").first()).toHaveAttribute("aria-posinset", /^[1-9]\d+$/);
  await page.setViewportSize({ width: 360, height: 400 });
  const inside = () => document.elementFromPoint(180, 300)?.closest("[role=listitem]") !== null;
  await expect.poll(() => page.evaluate(inside)).toBe(true);
});

test("what lies over the page can be missing, and takes nothing else with it", async ({ page }) => {
  await page.route("**/assets/Late-*.js", (route) => route.abort());
  const missing = page.waitForEvent("requestfailed", (request) => request.url().includes("/assets/Late-"));
  await page.goto(`${shop()}/runs?q=function%3Ashop-refresh-rates`);
  await missing;
  await page.getByRole("listitem").first().getByRole("link").click();
  await expect(page.getByRole("heading", { name: "shop-refresh-rates" })).toBeVisible();
});

test("a page whose data cannot be read says so and tries again", async ({ page }) => {
  await page.route("**/v1/dead-letters/groups**", (route) =>
    route.fulfill({ status: 507, json: { error: "the disk is full: make room", status: 507 } }),
  );
  await page.goto(`${shop()}/dead-letters`);
  await expect(page.getByText("This could not be read")).toBeVisible({ timeout: 30_000 });
  await expect(page.getByText("the disk is full: make room")).toBeVisible();
  await shot(page, "failed");
  await page.unroute("**/v1/dead-letters/groups**");
  await page.getByRole("button", { name: "Try again" }).click();
  await expect(page.getByRole("link", { name: /open/ }).first()).toBeVisible();
});

test("who is not known comes to the sign-in page", async ({ page }) => {
  await page.route("**/v1/**", (route) =>
    route.request().url().endsWith("/v1/me")
      ? route.fulfill({ json: { data: { dev: false }, metadata: {} } })
      : route.fulfill({ status: 401, json: { error: "Authentication failed", status: 401 } }),
  );
  await page.goto(`${shop()}/runs`);
  await expect(page).toHaveURL(/\/login\?to=%2Fruns/);
  await expect(page.getByRole("heading", { name: "Log in to Pawl" })).toBeVisible();
  await shot(page, "login");
});
