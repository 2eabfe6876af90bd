import { AxeBuilder } from "@axe-core/playwright";
import { expect, type Page, type Route, test } from "@playwright/test";
import { ended, Lab, runsOf, send, until } from "./setup";
import { watch } from "./watch";

// A page that is open shows what is so, whatever comes between its questions and their answers.

const lab = new Lab(() => ({
  gate: [
    { retries: 0 },
    async ({ step }) => {
      await step.waitForEvent("the gate opens", { event: "lab/open", timeout: "1h", match: "data.gate" });
      return "through";
    },
  ],
  quick: [{ retries: 0 }, async ({ step }) => step.run("count", async () => 1)],
}));

let check: () => Promise<void>;
test.use({ viewport: { width: 1440, height: 900 } });
test.beforeEach(async ({ page }) => {
  check = await watch(page);
  // What the page has heard of.
  await page.addInitScript(() => {
    const add = EventSource.prototype.addEventListener;
    EventSource.prototype.addEventListener = function (this: EventSource, type: string, listener: (event: MessageEvent) => void) {
      return add.call(this, type, (event: Event) => {
        listener(event as MessageEvent);
        const page = window as unknown as { heard?: string[] };
        page.heard = [...(page.heard ?? []), `${type} ${(event as MessageEvent).data}`];
      });
    } as typeof add;
  });
});
test.afterEach(() => check());

const hasHeard = (page: Page, ...words: string[]) =>
  expect
    .poll(() =>
      page.evaluate(
        (words) => (window as unknown as { heard?: string[] }).heard?.some((text) => words.every((word) => text.includes(word))) ?? false,
        words,
      ),
    )
    .toBe(true);

/** A run that waits at a gate, and how it is let through. */
async function atGate(): Promise<{ run: string; open: () => Promise<void> }> {
  const gate = String(Math.random());
  const [event] = await send(lab.base, { name: "lab/gate", data: { gate, customer: "c-4711" } });
  let run = "";
  await until("the wait at the gate", async () => {
    run = (await runsOf(lab.base, event!))[0]!.run_id;
    return (await (await fetch(`${lab.base}/v1/runs/${run}/why`)).json()).data.reason === "event";
  });
  return {
    run,
    open: async () => {
      await send(lab.base, { name: "lab/open", data: { gate } });
      await ended(lab.base, event!);
    },
  };
}

/** Has the first answer of a URL come late: it was read before, and comes when that is said. */
async function late(page: Page, url: RegExp): Promise<{ read: Promise<void>; come: () => void }> {
  let read = () => {};
  let come = () => {};
  const isRead = new Promise<void>((done) => {
    read = done;
  });
  const comes = new Promise<void>((done) => {
    come = done;
  });
  await page.route(
    url,
    async (route: Route) => {
      const response = await route.fetch();
      const body = await response.body();
      read();
      await comes;
      await route.fulfill({ response, body });
    },
    { times: 1 },
  );
  return { read: isRead, come };
}

const status = (page: Page, run: string) => page.locator(`#content a[href$="${run}"]`).getByText(/^(Running|Completed)$/);

test("a run that ends while its page is on the way is shown as ended", async ({ page }) => {
  const { run, open } = await atGate();
  await page.goto(`${lab.base}/settings`);
  await hasHeard(page, "hello");
  const { read, come } = await late(page, /\/trace/);
  await page.evaluate((to) => history.pushState(null, "", to), `/runs/${run}`);
  await page.evaluate(() => dispatchEvent(new PopStateEvent("popstate")));
  await read;
  await open();
  await hasHeard(page, run, "Completed");
  come();
  await expect(page.locator("h1")).toContainText("Completed");
});

test("the output of a run that has just ended is not told before it is known", async ({ page }) => {
  const { run, open } = await atGate();
  await page.goto(`${lab.base}/runs/${run}`);
  await hasHeard(page, "hello");
  const about = page.locator("section").filter({ has: page.getByRole("heading", { name: "About this run" }) });
  await expect(about).toBeVisible();
  const { read, come } = await late(page, /\/links/);
  await open();
  await read;
  await expect(page.locator("h1")).toContainText("Completed");
  const output = page.locator("section").filter({ has: page.getByRole("heading", { name: "Output" }) });
  await expect(output.getByRole("status", { name: "Loading" })).toBeVisible();
  await expect(output).not.toContainText("null");
  come();
  await expect(output).toContainText('"through"');
  await expect(output.getByRole("status", { name: "Loading" })).toHaveCount(0);
});

test("a run that changes while a list is on the way is shown as it is", async ({ page }) => {
  const { run, open } = await atGate();
  await page.goto(`${lab.base}/settings`);
  await hasHeard(page, "hello");
  const { read, come } = await late(page, /\/v1\/runs\/search/);
  await page.getByRole("link", { name: "Runs", exact: true }).click();
  await read;
  await open();
  await hasHeard(page, run, "Completed");
  come();
  await expect(status(page, run)).toHaveText("Completed");
});

test("a run that changes while a list's next page is on the way is shown as it is", async ({ page }) => {
  for (let i = 0; i < 8; i++) await send(lab.base, ...Array.from({ length: 50 }, () => ({ name: "lab/quick" })));
  await until("the end of all that goes on", async () => {
    const going = await fetch(`${lab.base}/v1/runs/search?status=QUEUED&status=RUNNING`);
    return (await going.json()).data.runs.length === 0;
  });
  const { run, open } = await atGate();
  const { read, come } = await late(page, /\/v1\/runs\/search.*cursor=/);
  await page.goto(`${lab.base}/runs`);
  await hasHeard(page, "hello");
  await expect(status(page, run)).toHaveText("Running");
  await expect(page.locator("#root:not([aria-busy])")).toBeVisible();
  await page.evaluate(() => scrollTo(0, 1200));
  await read;
  await open();
  await hasHeard(page, run, "Completed");
  come();
  await expect(page.locator("#content [role=list]")).toHaveAttribute("style", /height: \d{5}px/); // more than 100 rows
  await page.evaluate(() => scrollTo(0, 0));
  await expect(status(page, run)).toHaveText("Completed");
});

test("what changes before the page listens is not lost", async ({ page }) => {
  const { run, open } = await atGate();
  await page.route(
    /\/v1\/changes/,
    async (route) => {
      await expect(status(page, run)).toHaveText("Running");
      await open();
      await route.continue();
    },
    { times: 1 },
  );
  await page.goto(`${lab.base}/runs`);
  await expect(status(page, run)).toHaveText("Completed");
});

test("a run that comes into a list says what it comes from", async ({ page }) => {
  await page.goto(`${lab.base}/runs?q=function:lab-gate`);
  await hasHeard(page, "hello");
  const { run, open } = await atGate(); // it says so from its start
  await expect(page.locator(`#content a[href$="${run}"]`)).toContainText("customer: c-4711");
  await open();
});

test("what is noted about a run and a step of it is shown, when it is noted", async ({ page }) => {
  const [event] = await send(lab.base, { name: "lab/quick" });
  const run = (await ended(lab.base, event!))[0]!.run_id;
  const note = (target: object, kind: string, values: object) =>
    fetch(`${lab.base}/v1/runs/${run}/metadata`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ target, metadata: [{ kind, op: "set", values }] }),
    });
  await page.goto(`${lab.base}/runs/${run}`);
  await hasHeard(page, "hello");
  await expect(page.getByRole("heading", { name: "About this run" })).toBeVisible();
  await expect(page.getByRole("heading", { name: "Metadata" })).toHaveCount(0);
  await note({}, "inngest.score", { quality: { value: 0.9 }, html: "<b>bold</b>" });
  await expect(page.getByRole("heading", { name: "Metadata" })).toBeVisible();
  await expect(page.getByText("inngest.score")).toBeVisible();
  await expect(page.getByText('"<b>bold</b>"')).toBeVisible();
  await note({ step_id: "count", step_attempt: 0 }, "userland.cost", { cents: "12345678901234567890" });
  await page.getByRole("button", { name: /^count/ }).click();
  const step = page.getByRole("region", { name: "Step count" });
  await expect(step.getByText("userland.cost")).toBeVisible();
  await expect(step.getByText("try 1")).toBeVisible();
  for (const width of [1440, 360]) {
    await page.setViewportSize({ width, height: width === 360 ? 740 : 900 });
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      await page.screenshot({ path: `e2e/shots/run/metadata-${colorScheme}-${width}.png`, fullPage: true, animations: "disabled" });
      const found = await new AxeBuilder({ page }).setLegacyMode().analyze();
      expect(found.violations.filter((v) => v.impact === "serious" || v.impact === "critical").map((v) => v.id)).toEqual([]);
    }
  }
});

test("numbers in the data of events are the digits that were sent", async ({ page }) => {
  const big = "9007199254740993";
  await fetch(`${lab.base}/e/key`, { method: "POST", body: `{"name": "lab/big", "data": {"id": ${big}, "price": 1.10}}` });
  await page.goto(`${lab.base}/events?name=lab/big`);
  await expect(page.locator("#content [data-row]")).toContainText(`"id":${big},"price":1.10`);
});

test("what is gone with the store of the server is not shown any more", async ({ page, context }) => {
  const { run } = await atGate();
  const { event_id } = (await (await fetch(`${lab.base}/v1/runs/${run}`)).json()).data;
  const other = await context.newPage();
  await page.goto(`${lab.base}/runs/${run}`);
  await other.goto(`${lab.base}/events/${event_id}`);
  await hasHeard(page, "hello");
  await expect(page.getByRole("button", { name: "Cancel" })).toBeVisible();
  await expect(other.locator("h1")).toHaveText("lab/gate");
  await lab.restart();
  for (const one of [page, other]) {
    await expect(one.locator("h1")).toHaveText("It is not here any more");
    await expect(one.getByRole("link", { name: "To the overview" })).toBeVisible();
  }
  await expect(page.getByRole("button", { name: "Cancel" })).toHaveCount(0);
  await other.close();
});
