import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { AxeBuilder } from "@axe-core/playwright";
import { type Browser, type BrowserContext, expect, type Page, test } from "@playwright/test";
import { keys, serve } from "./serve";
import { until } from "./setup";
import { watch } from "./watch";

// People log in to a real `pawl serve`. The tests build on each other: the first makes
// the first admin.

test.describe.configure({ mode: "serial" });

const good = "correct horse battery";
const better = "another battery staple";
const hostileName = `<img src=x onerror="window.__hacked=1"> Mallory`;

let pawl: Awaited<ReturnType<typeof serve>>;
let admin: BrowserContext;
let viewer: BrowserContext;
let ada: Page;
let vic: Page;
const checks = new Map<BrowserContext, () => Promise<void>>();

async function somebody(browser: Browser): Promise<[BrowserContext, Page]> {
  const context = await browser.newContext({ locale: "en-GB", timezoneId: "UTC", viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  checks.set(context, await watch(page));
  return [context, page];
}

/** They go, and nothing has gone wrong on their page. */
async function bye(context: BrowserContext) {
  await checks.get(context)?.();
  await context.close();
}

test.beforeAll(async ({ browser }) => {
  test.setTimeout(120_000);
  pawl = await serve();
  [admin, ada] = await somebody(browser);
  [viewer, vic] = await somebody(browser);
});
test.afterAll(async () => {
  try {
    await bye(admin);
    await bye(viewer);
  } finally {
    await pawl.stop();
  }
});

const shot = (page: Page, name: string) => page.screenshot({ path: `e2e/shots/people/${name}.png`, animations: "disabled" });

/** The dialog that is open; a toast is one too. */
const question = (page: Page) => page.locator('[role="dialog"]:not([aria-modal="false"])');

async function accessible(page: Page) {
  const axe = await new AxeBuilder({ page }).analyze();
  expect(
    axe.violations
      .filter((v) => v.impact === "serious" || v.impact === "critical")
      .map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" | ")}`),
  ).toEqual([]);
}

async function logIn(page: Page, name: string, password: string) {
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByRole("button", { name: "Log in", exact: true }).click();
}

/** What the API answers in the name of whoever is logged in, asked from a page of this origin. */
const asks = (page: Page, method: string, path: string, body?: unknown) =>
  page.evaluate(
    async ([method, path, body]) => {
      const answer = await fetch(path!, { method, body, headers: body ? { "Content-Type": "application/json" } : {} });
      return { status: answer.status, text: await answer.text() };
    },
    [method, path, body === undefined ? undefined : JSON.stringify(body)],
  );

test("the link that the first start has printed makes the first admin, once", async () => {
  await ada.goto(pawl.base);
  await expect(ada.getByRole("heading", { name: "Nobody can log in yet" })).toBeVisible();
  await ada.goto(`${pawl.base}/setup`);
  await expect(ada.getByText("The link is not whole")).toBeVisible();
  await ada.goto("about:blank");
  await ada.goto(pawl.link);
  await expect(ada.getByRole("heading", { name: "The first admin" })).toBeVisible();
  await accessible(ada);
  await ada.getByLabel("Name").fill("ada@example.com");
  await ada.getByLabel("Password", { exact: true }).fill("short");
  await ada.getByRole("button", { name: "Make the first admin" }).click();
  await expect(ada.getByRole("alert")).toContainText("at least 12 characters");
  await shot(ada, "setup");
  await ada.getByLabel("Password", { exact: true }).fill(good);
  await ada.getByRole("button", { name: "Make the first admin" }).click();
  await expect(ada.getByRole("heading", { name: "Overview" })).toBeVisible();
  await expect(ada.getByText("ada@example.com")).toBeVisible();

  const [cookie, ...more] = await admin.cookies();
  expect(more).toEqual([]);
  expect(cookie).toMatchObject({ name: "pawl-session", httpOnly: true, sameSite: "Strict", secure: false, path: "/", domain: "127.0.0.1" });
  expect(cookie!.expires - Date.now() / 1000).toBeLessThan(7 * 86_400 + 60);
  expect(await ada.evaluate(() => document.cookie)).toBe("");
  const again = await fetch(`${pawl.base}/v1/setup`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token: pawl.link.split("#")[1], name: "eve", password: good }),
  });
  expect(again.status).toBe(401);
  const other = await admin.newPage();
  await other.goto(pawl.link);
  await expect(other.getByRole("alert"), "a link that was used says so at once").toContainText("The first admin is made");
  await expect(other.getByLabel("Password", { exact: true })).toHaveCount(0);
  await accessible(other);
  await other.goto(`${pawl.base}/login?to=${encodeURIComponent("/runs?q=status:failed")}`);
  await expect(other, "who is logged in goes on").toHaveURL(/\/runs\?q=status/);
  await other.close();
});

test("wrong passwords are refused and then slowed down; one comes back to where one was going; logout ends it", async ({ browser }) => {
  const [context, page] = await somebody(browser);
  await page.goto(`${pawl.base}/runs?q=status%3Afailed`);
  await expect(page).toHaveURL(/\/login\?to=/);
  await logIn(page, "ada@example.com", "wrong password!");
  await expect(page.getByRole("alert")).toHaveText("the name or the password is wrong");
  await logIn(page, "nobody@example.com", good);
  await expect(page.getByRole("alert")).toHaveText("the name or the password is wrong");
  for (let i = 0; i < 4; i++) await asks(page, "POST", "/v1/login", { name: "ada@example.com", password: "wrong password!" });
  const refused = await asks(page, "POST", "/v1/login", { name: "ada@example.com", password: good });
  expect(refused.status, "the right one has to wait too").toBe(429);
  expect(refused.text).toContain("too many wrong passwords; wait");
  await page.route(
    "**/v1/login",
    (route) => route.fulfill({ status: 429, json: { error: "too many wrong passwords; wait 1s", status: 429 } }),
    { times: 1 },
  );
  await logIn(page, "ada@example.com", good);
  await expect(page.getByRole("alert")).toContainText("too many wrong passwords");
  await shot(page, "login-slowed");
  await expect(async () => {
    await page.getByRole("button", { name: "Log in", exact: true }).click();
    await expect(page).toHaveURL(/\/runs\?q=status/, { timeout: 1500 });
  }).toPass();
  const before = (await context.cookies())[0]!;
  const other = await context.newPage();
  await other.goto(`${pawl.base}/runs`);
  await expect(other.getByText("Live", { exact: true })).toBeVisible();
  await page.getByRole("button", { name: "Log out" }).click();
  await expect(page.getByRole("heading", { name: "Log in to Pawl" })).toBeVisible();
  await expect(other.getByRole("heading", { name: "Log in to Pawl" }), "another tab goes by itself").toBeVisible({ timeout: 15_000 });
  await other.close();
  expect(await context.cookies()).toEqual([]);
  const old = await fetch(`${pawl.base}/v1/runs`, { headers: { Cookie: `${before.name}=${before.value}` } });
  expect(old.status, "the cookie of before opens nothing").toBe(401);
  for (const to of ["https://evil.example/", "//evil.example/", "/\\evil.example/", "javascript:window.__hacked=1"]) {
    await page.goto(`${pawl.base}/login?to=${encodeURIComponent(to)}`);
    await logIn(page, "ada@example.com", good);
    await expect(page.getByRole("heading", { name: "Overview" })).toBeVisible();
    expect(new URL(page.url()).origin).toBe(pawl.base);
    await asks(page, "POST", "/v1/logout");
  }
  await bye(context);
});

test("an alert has links to the pages of what it tells of, which are shown after the login", async ({ browser }) => {
  await fetch(`${pawl.base}/e/${keys.event}`, {
    method: "POST",
    body: JSON.stringify({ name: "order/placed", data: { id: "o-9", customer: "c-9", amount: 1, card: "declined", items: [] } }),
  });
  await until("the alert", async () => pawl.alerts.length > 0);
  const [alert] = pawl.alerts;
  expect(alert).toMatchObject({ kind: "group", text: expect.stringContaining("CardDeclined") });
  const [context, page] = await somebody(browser);
  await page.goto(alert!.url);
  await logIn(page, "ada@example.com", good);
  await expect(page.locator("h1")).toContainText("CardDeclined");
  await expect(page.getByRole("link", { name: /shop-checkout/ }).first()).toBeVisible();
  await bye(context);
});

test("somebody is invited by a link that works once", async () => {
  await ada.getByRole("link", { name: "People" }).click();
  await expect(ada.getByText("· you")).toBeVisible();
  await ada.getByRole("button", { name: "Invite somebody" }).click();
  await ada.getByLabel("Name").fill("ADA@example.com");
  await ada.getByRole("button", { name: "Invite", exact: true }).click();
  await expect(ada.getByText("there is somebody of that name already")).toBeVisible();
  await ada.getByLabel("Name").fill("vic");
  await shot(ada, "invite");
  await ada.getByRole("button", { name: "Invite", exact: true }).click();
  await expect(question(ada)).toContainText("A link for vic");
  await shot(ada, "link");
  const link = await ada.getByLabel("Link", { exact: true }).inputValue();
  await ada.mouse.click(5, 5);
  await expect(ada.getByLabel("Link", { exact: true }), "a click beside it does not throw it away").toBeVisible();
  await ada.getByRole("button", { name: "Done" }).click();
  await expect(ada.getByText("invited, has not come yet")).toBeVisible();
  expect(await ada.content()).not.toContain(link.split("#")[1]);

  const asked: string[] = [];
  const note = (request: { url(): string }) => asked.push(new URL(request.url()).pathname);
  vic.on("request", note);
  await vic.goto(link);
  await expect(vic.getByRole("heading", { name: "Welcome to Pawl" })).toBeVisible();
  vic.off("request", note);
  expect(asked, "who is nobody yet is not refused the stream again and again").not.toContain("/v1/changes");
  await expect(vic.getByLabel("Name")).toHaveValue("vic");
  await shot(vic, "welcome");
  await accessible(vic);
  await vic.getByLabel("Password", { exact: true }).fill("short");
  await vic.getByRole("button", { name: "Set the password" }).click();
  await expect(vic.getByRole("alert")).toContainText("at least 12 characters");
  await vic.getByLabel("Password", { exact: true }).fill(good);
  await vic.getByRole("button", { name: "Set the password" }).click();
  await expect(vic.getByRole("heading", { name: "Overview" })).toBeVisible();
  const other = await viewer.newPage();
  await other.goto(link);
  await expect(other.getByRole("alert")).toContainText("ask an admin for a new one");
  await shot(other, "welcome-over");
  await other.close();
});

test("a viewer reads, and is told why not more", async () => {
  const run = await pawl.waiting("o-viewer");
  await vic.goto(`${pawl.base}/runs/${run}`);
  const why = "This needs the role operator, and you are viewer. An admin can change that.";
  /** A button is there, the keyboard reaches it, it says why it does nothing, and does nothing. */
  const cannot = async (name: string) => {
    const button = vic.getByRole("button", { name, exact: true });
    await expect(button, name).toBeDisabled();
    await expect(button, name).toHaveAccessibleDescription(why);
    await button.focus();
    await expect(button, name).toBeFocused();
    await vic.keyboard.press("Enter");
    await button.click({ force: true });
    await expect(question(vic), name).toHaveCount(0);
  };
  for (const name of ["Cancel", "Edit and rerun"]) await cannot(name);
  await vic.locator("body").press("x");
  await expect(vic.getByRole("dialog").filter({ hasText: why })).toBeVisible();
  await expect(question(vic)).toHaveCount(0);
  await shot(vic, "viewer-cancel");
  await accessible(vic);
  const refused = await asks(vic, "DELETE", `/v1/runs/${run}`);
  expect(refused.status, "the page is not what protects it").toBe(403);
  expect(refused.text).toContain("this needs the role operator; you are viewer");
  expect((await (await fetch(`${pawl.base}/v1/runs/${run}`, pawl.signed)).json()).data.status).toBe("Running");
  for (const [place, names] of Object.entries({
    "functions/shop-ship": ["Limits", "Pause", "Invoke"],
    events: ["Send an event"],
    schedules: ["Add a schedule"],
    apps: ["Sync", "Pause"],
  })) {
    await vic.goto(`${pawl.base}/${place}`);
    for (const name of names) await cannot(name);
    await accessible(vic);
  }
  for (const place of ["people", "tokens", "keys"]) {
    const asked: string[] = [];
    const note = (request: { url(): string }) => asked.push(new URL(request.url()).pathname);
    vic.on("request", note);
    await vic.goto(`${pawl.base}/${place}`);
    await expect(vic.getByText("This needs the role admin, and you are viewer.")).toBeVisible();
    vic.off("request", note);
    expect(asked, "nothing is asked for that is refused").not.toContain(`/v1/${place}`);
    expect((await asks(vic, "GET", `/v1/${place}`)).status).toBe(403);
    await accessible(vic);
  }
  await shot(vic, "viewer-keys");
});

test("a page notices that a role has changed", async () => {
  const me = JSON.parse((await asks(ada, "GET", "/v1/people")).text).data.find((p: { name: string }) => p.name === "vic");
  const become = async (role: string) => expect((await asks(ada, "PATCH", `/v1/people/${me.id}`, { role })).status).toBe(200);
  const run = await pawl.waiting("o-role");
  await become("operator");
  await vic.goto(`${pawl.base}/runs/${run}`);
  const cancel = vic.getByRole("button", { name: "Cancel", exact: true });
  await expect(cancel).toBeEnabled();
  await cancel.click();
  await become("viewer");
  // The page does not know it yet, or has learnt it meanwhile.
  await question(vic)
    .getByRole("button", { name: "Cancel the run" })
    .click({ timeout: 3000 })
    .catch(() => {});
  await expect(question(vic).getByRole("alert")).toContainText("This needs the role operator");
  await vic.keyboard.press("Escape");
  await expect(cancel).toBeDisabled();
  await become("operator");
  await vic.evaluate(() => {
    for (const hidden of [true, false]) {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }
  });
  await expect(cancel).toBeEnabled();
  await become("viewer");
});

test("one changes one's own password, and sees and ends one's logins", async ({ browser }) => {
  const [context, phone] = await somebody(browser);
  await phone.goto(`${pawl.base}/login`);
  await logIn(phone, "vic", good);
  await expect(phone.getByRole("heading", { name: "Overview" })).toBeVisible();
  await vic.goto(`${pawl.base}/account`);
  await expect(vic.getByText("Chrome on Linux")).toHaveCount(2);
  await expect(vic.getByText("here", { exact: true })).toHaveCount(1);
  await vic.getByRole("button", { name: "Log out Chrome on Linux" }).click();
  await shot(vic, "end-login");
  await question(vic).getByRole("button", { name: "Log out", exact: true }).click();
  await expect(vic.getByText("Chrome on Linux")).toHaveCount(1);
  await phone.goto(`${pawl.base}/runs`);
  await expect(phone).toHaveURL(/\/login/);
  await logIn(phone, "vic", good);
  await expect(phone.getByRole("heading", { name: "Runs" })).toBeVisible();

  await vic.getByLabel("Password of now").fill("wrong password!");
  await vic.getByLabel("New password").fill(better);
  await vic.getByRole("button", { name: "Change the password" }).click();
  await expect(vic.getByRole("alert").filter({ hasText: "the old password is wrong" })).toBeVisible();
  await vic.getByLabel("Password of now").fill(good);
  await vic.getByRole("button", { name: "Change the password" }).click();
  await expect(vic.getByText("Your password is changed")).toBeVisible();
  await phone.reload();
  await expect(phone, "the other login has ended").toHaveURL(/\/login/);
  await logIn(phone, "vic", better);
  await expect(phone.getByRole("heading", { name: "Runs" })).toBeVisible();
  await bye(context);
});

test("a page of another origin does nothing in the name of who is logged in", async () => {
  // Another port of this host is another origin, and yet the same site: browsers send the cookie along.
  const evil = createServer((_, answer) => answer.setHeader("Content-Type", "text/html").end("<title>evil</title>"));
  await new Promise<void>((done) => evil.listen(0, "127.0.0.1", done));
  const page = await admin.newPage();
  const { port } = evil.address() as { port: number };
  await page.goto(`http://127.0.0.1:${port}/`);
  const answers: { status: number; cookie: boolean; url: string }[] = [];
  page.on("response", async (answer) => {
    if (!answer.url().startsWith(pawl.base)) return;
    const headers = await answer.request().allHeaders();
    answers.push({ url: new URL(answer.url()).pathname, status: answer.status(), cookie: /pawl-session=/.test(headers.cookie ?? "") });
  });
  const tokens = async () => JSON.parse((await asks(ada, "GET", "/v1/tokens")).text).data as { name: string }[];
  const before = await tokens();
  await page.evaluate(async (base) => {
    const body = '{"name":"evil","role":"admin"}';
    for (const path of ["/v1/tokens", "/v1/people", "/v1/logout", "/v1/backup"])
      await fetch(base + path, { method: "POST", mode: "no-cors", credentials: "include", body }).catch(() => 0);
    for (const method of ["DELETE", "PATCH"]) await fetch(`${base}/v1/people/x`, { method, credentials: "include", body }).catch(() => 0); // stopped by the browser: no CORS
    await fetch(`${base}/v1/people`, { credentials: "include" }).then(
      async (answer) => {
        throw new Error(`it could read ${await answer.text()}`);
      },
      () => 0,
    );
  }, pawl.base);
  await page.evaluate((base) => {
    const form = document.createElement("form");
    Object.assign(form, { method: "post", action: `${base}/v1/tokens`, enctype: "text/plain" });
    const field = document.createElement("input");
    field.name = '{"name":"evil","role":"admin","x":"';
    field.value = '"}';
    form.append(field);
    document.body.append(form);
    form.submit();
  }, pawl.base);
  await expect.poll(() => answers.filter((a) => a.url === "/v1/tokens").length).toBe(2);
  const posts = answers.filter((a) => a.url !== "/v1/people" || a.status !== 200);
  expect(posts.filter((a) => a.cookie).length, "the cookie was sent along").toBeGreaterThanOrEqual(1);
  for (const answer of posts) expect([204, 403], JSON.stringify(answer)).toContain(answer.status);
  expect(await tokens()).toEqual(before);
  expect((await asks(ada, "GET", "/v1/runs")).status, "and ada is still logged in").toBe(200);
  await page.close();
  evil.close();
});

const curl = (token: string, ...args: string[]) =>
  execFileSync("curl", ["-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", `Authorization: Bearer ${token}`, ...args]).toString();

test("a token is shown once, used by curl, seen as used, and revoked", async () => {
  await ada.goto(`${pawl.base}/tokens`);
  await expect(ada.getByText("There is no token")).toBeVisible();
  await ada.getByRole("button", { name: "Make a token" }).click();
  await ada.getByLabel("Name").fill("nightly build");
  await ada.getByLabel("Expires after").selectOption("1 day");
  await ada.getByLabel("Runs", { exact: true }).check();
  await shot(ada, "token-make");
  await accessible(ada);
  await ada.getByRole("button", { name: "Make it" }).click();
  const token = await ada.getByLabel("Token", { exact: true }).inputValue();
  expect(token).toMatch(/^pawl_/);
  await shot(ada, "token-made");
  await accessible(ada);
  await ada.getByRole("button", { name: "Done" }).click();
  expect(await ada.content()).not.toContain(token);
  await expect(ada.getByText("never used")).toBeVisible();
  await expect(ada.getByText("for runs")).toBeVisible();
  expect(curl(token, `${pawl.base}/v1/events`), "it is for runs").toBe("403");
  expect(curl(token, `${pawl.base}/v1/runs`)).toBe("200");
  expect(curl(token, "-X", "DELETE", `${pawl.base}/v1/runs/01JQDAE4RQF8MBCR55T5AK4KXS`), "its role is to read").toBe("403");
  expect(curl(`${token}x`, `${pawl.base}/v1/runs`)).toBe("401");
  await ada.reload();
  await expect(ada.getByText(/^used /)).toBeVisible();
  await ada.getByRole("button", { name: "Revoke nightly build" }).click();
  await expect(question(ada)).toContainText("cannot be undone");
  await shot(ada, "token-revoke");
  await ada.getByRole("button", { name: "Revoke", exact: true }).click();
  await expect(ada.getByText("There is no token")).toBeVisible();
  expect(curl(token, `${pawl.base}/v1/runs`)).toBe("401");
});

test("keys are told by their fingerprints, and which are in use", async () => {
  await fetch(`${pawl.base}/v1/runs`, { headers: { Authorization: `Bearer ${keys.previous}` } });
  await ada.goto(`${pawl.base}/keys`);
  const print = (key: string) => createHash("sha256").update(key).digest("hex").slice(0, 8);
  for (const [key, from] of Object.entries({
    signing: "PAWL_SIGNING_KEY",
    previous: "PAWL_SIGNING_KEY_PREVIOUS",
    event: "PAWL_EVENT_KEY",
  })) {
    const row = ada.getByRole("listitem").filter({ hasText: print(keys[key as keyof typeof keys]) });
    await expect(row).toContainText(`from ${from}`);
    await expect(row, "the app and the test have shown it").toContainText(/used (now|\d)/);
  }
  await expect(ada.getByText("The key of before is still in use")).toBeVisible();
  const html = await ada.content();
  for (const key of Object.values(keys)) expect(html).not.toContain(key);
});

test("a role is changed, a password reset, somebody shut out, let in and removed", async ({ browser }) => {
  await ada.goto(`${pawl.base}/people`);
  const manage = async () => ada.getByRole("button", { name: "Manage vic" }).click();
  await manage();
  await ada.getByRole("radio", { name: /operator/i }).check();
  await shot(ada, "manage");
  await accessible(ada);
  await ada.getByRole("button", { name: "Change the role" }).click();
  await expect(ada.getByText("vic is operator now")).toBeVisible();

  const run = await pawl.waiting("o-operator");
  await vic.goto(`${pawl.base}/runs/${run}`);
  await vic.getByRole("button", { name: "Cancel", exact: true }).click();
  await vic.getByRole("button", { name: "Cancel the run" }).click();
  await expect(vic.getByText("The run is cancelled")).toBeVisible();

  await manage();
  await ada.getByRole("button", { name: "Link to reset the password" }).click();
  const link = await ada.getByLabel("Link", { exact: true }).inputValue();
  await ada.getByRole("button", { name: "Done" }).click();
  const [context, other] = await somebody(browser);
  await other.goto(link);
  await other.getByLabel("Password", { exact: true }).fill(good);
  await other.getByRole("button", { name: "Set the password" }).click();
  await expect(other.getByRole("heading", { name: "Overview" })).toBeVisible();
  await vic.goto(`${pawl.base}/runs`);
  await expect(vic, "the login of before has ended").toHaveURL(/\/login/);

  await manage();
  await ada.getByRole("button", { name: "Shut out" }).click();
  await question(ada).getByRole("button", { name: "Shut out" }).click();
  await expect(ada.getByText("may not log in", { exact: true })).toBeVisible();
  await other.goto(`${pawl.base}/runs`);
  await expect(other).toHaveURL(/\/login/);
  await logIn(other, "vic", good);
  await expect(other.getByRole("alert")).toHaveText("the name or the password is wrong");
  await manage();
  await ada.getByRole("button", { name: "Let them in again" }).click();
  await expect(ada.getByText("vic may log in again")).toBeVisible();
  await other.getByRole("button", { name: "Log in", exact: true }).click();
  await expect(other.getByRole("heading", { name: "Runs" })).toBeVisible();
  await manage();
  await ada.getByRole("button", { name: "Log out everywhere" }).click();
  await question(ada).getByRole("button", { name: "Log out" }).click();
  await expect(ada.getByText("vic is logged out")).toBeVisible();
  await other.reload();
  await expect(other).toHaveURL(/\/login/);
  await manage();
  await ada.getByRole("button", { name: "Remove" }).click();
  await shot(ada, "remove");
  await question(ada).getByRole("button", { name: "Remove" }).click();
  await expect(ada.getByText("vic is removed")).toBeVisible();
  await expect(ada.getByRole("button", { name: "Manage vic" })).toHaveCount(0);
  await bye(context);

  await ada.getByRole("button", { name: "Manage ada@example.com" }).click();
  await ada.getByRole("button", { name: "Remove" }).click();
  await expect(ada.getByText("This is you.")).toBeVisible();
  await question(ada).getByRole("button", { name: "Remove" }).click();
  await expect(ada.getByText("the last admin who can log in cannot go")).toBeVisible();
  await ada.keyboard.press("Escape");
  const acts: string[] = JSON.parse((await asks(ada, "GET", "/v1/audit?object=person/vic")).text).data.map((a: { what: string }) => a.what);
  expect(acts.filter((what) => what !== "login")).toEqual([
    "remove-person",
    "end-logins",
    "change-person",
    "change-person",
    "use-link",
    "link-person",
    "change-person",
    "change-password",
    ...Array(4).fill("change-person"), // whose page noticed it
    "use-link",
    "link-person",
    "add-person",
  ]);
});

test("what cannot be read says so, while it is read it is grey, and what is old says so", async () => {
  for (const [place, title] of Object.entries({ people: "People", tokens: "API tokens", keys: "Keys" })) {
    const path = `**/v1/${place}`;
    let answer = () => {};
    const held = new Promise<void>((done) => {
      answer = done;
    });
    await ada.route(path, async (route) => {
      await held;
      await route.fulfill({ status: 507, json: { error: "the disk is full: make room", status: 507 } });
    });
    await ada.goto(`${pawl.base}/${place}`);
    await expect(ada.getByRole("heading", { name: title, exact: true })).toBeVisible();
    await expect(ada.getByLabel("Loading")).toBeVisible();
    answer();
    await expect(ada.getByText("the disk is full: make room")).toBeVisible({ timeout: 30_000 });
    if (place === "people") await shot(ada, "failed");
    await ada.unroute(path);
    await ada.getByRole("button", { name: "Try again" }).click();
    await expect(ada.getByText("the disk is full: make room")).toHaveCount(0);
  }
  await ada.goto(`${pawl.base}/people`);
  await expect(ada.getByText("· you")).toBeVisible();
  await ada.route("**/v1/**", (route) => route.abort());
  await ada.getByRole("button", { name: "Invite somebody" }).click();
  await ada.getByLabel("Name").fill("late");
  await ada.getByRole("button", { name: "Invite", exact: true }).click();
  await expect(ada.getByText("Invite: it did not work")).toBeVisible();
  await expect(ada.getByLabel("Name"), "what was typed stays").toHaveValue("late");
  await ada.unroute("**/v1/**");
});

// Every screen of people, with people and tokens in it whose names would like to be markup.
const looks: { name: string; at: string; ready: string | RegExp; act?: (page: Page) => Promise<void> }[] = [
  { name: "people", at: "people", ready: "· you" },
  { name: "people-manage", at: "people", ready: "· you", act: (page) => page.getByRole("button", { name: /^Manage .*Mallory/ }).click() },
  {
    name: "people-invite",
    at: "people",
    ready: "· you",
    act: (page) => page.getByRole("button", { name: "Invite somebody" }).click(),
  },
  { name: "tokens", at: "tokens", ready: "never expires" },
  { name: "tokens-make", at: "tokens", ready: "never expires", act: (page) => page.getByRole("button", { name: "Make a token" }).click() },
  { name: "keys", at: "keys", ready: "Which key is it?" },
  { name: "account", at: "account", ready: "Where you are logged in" },
  { name: "audit", at: "audit", ready: "add-person" },
];

test("the screens in dark and light, narrow and wide", async ({ browser }) => {
  test.setTimeout(180_000);
  const make = async (path: string, body: unknown) => expect((await asks(ada, "POST", path, body)).status).toBe(200);
  await make("/v1/people", { name: hostileName, role: "operator", password: good });
  await make("/v1/people", { name: `${"very.long.name.of.somebody".repeat(6)}@example.com`, role: "viewer" });
  for (const name of ["grace@example.com", "linus@example.com", "margaret@example.com"])
    await make("/v1/people", { name, role: "operator", password: good });
  await make("/v1/tokens", { name: "nightly build", role: "operator", life: "90d" });
  await make("/v1/tokens", { name: hostileName, role: "viewer" });
  await make("/v1/tokens", { name: "backup to the other site", role: "admin", life: "5d" });
  await make("/v1/tokens", { name: "of yesterday", role: "viewer", life: "1s" });
  const state = await admin.storageState();
  await fetch(`${pawl.base}/v1/login`, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      "User-Agent": '<script>window.__hacked=1</script>"><img src=x onerror=window.__hacked=1>',
    },
    body: JSON.stringify({ name: "ada@example.com", password: good }),
  });
  for (const colorScheme of ["light", "dark"] as const) {
    for (const width of [360, 1440]) {
      const context = await browser.newContext({
        storageState: state,
        colorScheme,
        viewport: { width, height: width === 360 ? 740 : 900 },
        reducedMotion: "reduce",
        locale: "en-GB",
        timezoneId: "UTC",
      });
      const page = await context.newPage();
      const check = await watch(page);
      for (const { name, at, ready, act } of looks) {
        await test.step(`${name} ${colorScheme} ${width}`, async () => {
          await page.goto(`${pawl.base}/${at}`);
          await expect(page.getByText(ready).first()).toBeVisible();
          await act?.(page);
          if (act) await expect(question(page)).toBeVisible();
          await expect(page.getByLabel("Loading")).toHaveCount(0);
          await page.screenshot({ path: `e2e/shots/people/${colorScheme}-${width}/${name}.png`, animations: "disabled" });
          expect(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)).toBe(0);
          expect(await page.locator("img, script:not([src]), iframe").count(), "no name has become markup").toBe(0);
          await accessible(page);
        });
      }
      await check();
      await context.close();
    }
  }
});
