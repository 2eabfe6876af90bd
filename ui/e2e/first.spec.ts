import { expect, type Page, test } from "@playwright/test";
import { openShop } from "./setup";
import { watch } from "./watch";

// A list of runs is drawn before the dashboard is there (src/first.ts).

openShop({ used: false });
const runs = (filter = "") => `${process.env.PAWL_SHOP}/runs${filter && `?q=${encodeURIComponent(filter)}`}`;

/** Opens a page whose dashboard comes when the function that is returned is called. */
async function openHeld(page: Page, url: string): Promise<() => Promise<void>> {
  let come = () => {};
  const held = new Promise<void>((done) => {
    come = done;
  });
  await page.route(/\/assets\/main-/, async (route) => {
    await held;
    await route.continue();
  });
  await page.goto(url, { waitUntil: "commit" });
  await expect(page.locator("#root[aria-busy]")).toBeVisible();
  return async () => {
    come();
    await expect(page.locator("#root:not([aria-busy])")).toBeVisible();
  };
}

const rows = (page: Page) => page.locator("#content [data-row]");

/** What is drawn, and where: the list's head, its first rows, and the places beside it. */
const look = (page: Page) =>
  page.evaluate(() => {
    const parts = [
      ...document.querySelectorAll("#content > div > div:first-child, #content [role=list]"),
      ...[...document.querySelectorAll("#content [role=listitem]")].slice(0, 8),
      ...document.querySelectorAll("[href='#content'], aside nav a:not([href$=dead-letters]), aside > a, aside > button"),
    ];
    return parts.map((part) => {
      const { x, y, width, height } = part.getBoundingClientRect();
      const copy = part.cloneNode(true) as Element;
      if (copy.getAttribute("role") === "list") copy.replaceChildren();
      const ink = [...(copy.hasChildNodes() ? part.querySelectorAll("*") : [])].map((element) => getComputedStyle(element).color).join();
      const html = copy.outerHTML.replaceAll(' xmlns="http://www.w3.org/2000/svg"', "");
      return { html, ink, x, y, width, height };
    });
  });

for (const scheme of ["light", "dark"] as const)
  for (const viewport of [
    { width: 1440, height: 900 },
    { width: 360, height: 740 },
  ])
    for (const filter of ["", "status:failed", "status:completed status:running function:shop-checkout"])
      test(`what is drawn first is what the dashboard draws: ${scheme}, ${viewport.width}, ${filter || "all runs"}`, async ({ page }) => {
        const check = await watch(page);
        await page.emulateMedia({ colorScheme: scheme });
        await page.setViewportSize(viewport);
        await page.clock.setFixedTime(new Date());
        const come = await openHeld(page, runs(filter));
        await expect(rows(page).first()).toBeVisible();
        const first = await look(page);
        expect(first.length).toBeGreaterThan(8);
        expect(await page.title()).toBe("Runs · Pawl");
        await come();
        expect(await look(page)).toEqual(first);
        expect(await page.title()).toBe("Runs · Pawl");
        await check();
      });

test("rows that are seen stay, however long the dashboard takes to read their answer", async ({ page }) => {
  const come = await openHeld(page, runs());
  await expect(rows(page).first()).toBeVisible();
  await page.evaluate(() => {
    for (const read of ["text", "json"] as const) {
      const real = Response.prototype[read];
      Response.prototype[read] = async function () {
        await new Promise((done) => setTimeout(done, 500));
        return real.call(this);
      };
    }
    new MutationObserver(() => {
      if (!document.querySelector("#content [data-row]")) document.documentElement.dataset.gone = "yes";
    }).observe(document.body, { childList: true, subtree: true });
  });
  await come();
  await expect(rows(page).first()).toBeVisible();
  expect(await page.locator("html").getAttribute("data-gone")).toBeNull();
});

test("what is drawn first is worked with: links at once, the rest when the dashboard is there", async ({ page }) => {
  const come = await openHeld(page, runs());
  await page.getByRole("button", { name: "Failed" }).click();
  await page.locator("[data-search]").fill("function:shop-checkout");
  await come();
  await expect(page.locator("[data-search]")).toBeFocused();
  await expect(page).toHaveURL(/status(%3A|:)failed/);

  await page.goto(runs());
  const again = await openHeld(page, runs());
  await expect(rows(page).first()).toBeVisible();
  await page.keyboard.press("?");
  await again();
  await expect(page.getByRole("dialog")).toContainText("Next row");

  const third = await openHeld(page, runs());
  await expect(rows(page).first()).toBeVisible();
  for (const key of ["j", "j", "k", "Enter"]) await page.keyboard.press(key);
  await third();
  await expect(page).toHaveURL(/\/runs\/[0-9A-Z]{26}$/);

  await openHeld(page, runs());
  await rows(page).first().click({ noWaitAfter: true });
  await expect(page).toHaveURL(/\/runs\/[0-9A-Z]{26}$/);
});

test("what is typed before the dashboard is there is a filter then", async ({ page }) => {
  const come = await openHeld(page, runs());
  await page.locator("[data-search]").pressSequentially("status:failed");
  await come();
  await expect(page.locator("[data-search]")).toHaveValue("status:failed");
  await expect(page.locator("[data-search]")).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/status(%3A|:)failed/);
});

test("how far somebody has scrolled stays, and is there again after a reload", async ({ page }) => {
  await page.setViewportSize({ width: 1440, height: 300 });
  const come = await openHeld(page, runs());
  await expect(rows(page).first()).toBeVisible();
  // Up to the moment in which the dashboard takes the place.
  await page.evaluate(() => {
    let to = 599;
    const further = () => {
      if (!document.querySelector("#root[aria-busy]")) return;
      to = to === 599 ? 600 : 599;
      document.documentElement.dataset.to = String(to);
      scrollTo(0, to);
      setTimeout(further);
    };
    further();
  });
  await come();
  await expect(page.getByRole("listitem").first()).toHaveAttribute("aria-posinset", /^([5-9]|1\d)$/);
  expect(await page.evaluate(() => String(scrollY) === document.documentElement.dataset.to)).toBe(true);
  await page.reload();
  // The browser itself may move it by some pixels, so that what is seen stays in its place.
  await expect.poll(() => page.evaluate(() => scrollY)).toBeGreaterThan(560);
  await expect(page.getByRole("listitem").first()).toHaveAttribute("aria-posinset", /^([5-9]|1\d)$/);
});

test("the chosen colours hold from the first paint", async ({ page }) => {
  await page.addInitScript(() => localStorage.setItem("pawl", JSON.stringify({ state: { theme: "dark" }, version: 0 })));
  await page.emulateMedia({ colorScheme: "light" });
  await openHeld(page, runs());
  await expect(page.locator("html")).toHaveAttribute("data-theme", "dark");
});

test("a server that takes its time is waited for with the page in place", async ({ page }) => {
  let answer = () => {};
  const held = new Promise<void>((done) => {
    answer = done;
  });
  await page.route(/\/v1\/runs\/search/, async (route) => {
    await held;
    await route.continue();
  });
  const come = await openHeld(page, runs());
  await expect(page.locator("#content").getByRole("status", { name: "Loading" })).toBeVisible();
  answer();
  await expect(rows(page).first()).toBeVisible();
  await come();
  await expect(rows(page).first()).toBeVisible();
});

test("where nothing has run, and where nobody is logged in, the dashboard says so", async ({ page }) => {
  await page.goto(`${process.env.PAWL_EMPTY}/runs`);
  await expect(page.getByText("Nothing has run yet")).toBeVisible();
  await expect(page.locator("#root[aria-busy]")).toHaveCount(0);
  await page.route(/\/v1\/runs\/search/, (route) => route.fulfill({ status: 401, json: { error: "log in", status: 401 } }));
  await page.route(/\/v1\/me$/, (route) => route.fulfill({ json: { data: { dev: false }, metadata: {} } }));
  await page.goto(runs());
  await expect(page).toHaveURL(/\/login/);
  await expect(page.getByRole("heading", { name: "Log in to Pawl" })).toBeVisible();
  await expect(page.locator("#root[aria-busy]")).toHaveCount(0);
});

test("one thing that is refused to somebody who is known is said in its place", async ({ page }) => {
  let loads = 0;
  page.on("load", () => loads++);
  await page.route(/\/v1\/runs\/search/, (route) => route.fulfill({ status: 401, json: { error: "the proxy says no", status: 401 } }));
  await page.goto(runs());
  await expect(page.getByText("the proxy says no")).toBeVisible();
  expect(page.url()).toBe(runs());
  expect(loads).toBe(1);
});

for (const usual of [true, false])
  test(`when the fonts do not come, what is as usual is drawn first, and only that: ${usual}`, async ({ page }) => {
    await page.route(/\.woff2$/, () => {});
    await page.addInitScript(() => {
      const look = new MutationObserver(() => {
        if (!document.querySelector("#root[aria-busy]")) return;
        look.disconnect();
        document.documentElement.dataset.first = "drawn";
      });
      look.observe(document, { subtree: true, attributes: true });
    });
    await page.goto(usual ? runs() : `${process.env.PAWL_EMPTY}/runs`, { waitUntil: "commit" });
    await expect(usual ? rows(page).first() : page.getByText("Nothing has run yet")).toBeVisible();
    await expect(page.locator("#root:not([aria-busy])")).toBeVisible();
    expect(await page.locator("html").getAttribute("data-first")).toBe(usual ? "drawn" : null);
  });
