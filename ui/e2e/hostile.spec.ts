import { type ChildProcess, spawn } from "node:child_process";
import { expect, type Page, test } from "@playwright/test";
// @ts-expect-error it is a program, without types
import { keys, corpus as texts } from "./hostile.mjs";
import { ended, freePort, runsOf, send, until } from "./setup";
import { watch } from "./watch";

// Payloads, names and errors that would like to be markup or script, on every screen.

const corpus = texts as Record<string, string>;
const root = new URL("../..", import.meta.url).pathname;
const children: ChildProcess[] = [];
let base = "";
const ids: Record<string, string> = {};

test.beforeAll(async () => {
  test.setTimeout(120_000);
  const [port, appPort] = [await freePort(), await freePort()];
  base = `http://127.0.0.1:${port}`;
  const stdio = process.env.PAWL_E2E_LOG ? ("inherit" as const) : ("ignore" as const);
  const app = `http://127.0.0.1:${appPort}/api/inngest`;
  children.push(spawn(`${root}bin/pawl`, ["dev", "--listen", `127.0.0.1:${port}`, "--no-discovery", "--app", app], { stdio }));
  children.push(
    spawn(process.execPath, [`${root}ui/e2e/hostile.mjs`], { env: { ...process.env, PORT: String(appPort), INNGEST_DEV: base }, stdio }),
  );
  await until("the start of pawl", async () => (await fetch(`${base}/health`)).ok);
  await until("the app's sync", async () => (await (await fetch(`${base}/v1/apps`)).json()).data.length > 0);
  const data = {
    ...corpus,
    ...Object.fromEntries(Object.values(corpus).map((text) => [text.slice(0, 300), text])),
    nested: [[keys, corpus]],
  };
  // Written by hand: JSON.stringify of an object leaves out what __proto__ holds.
  const body = JSON.stringify(data).replace(/^\{/, `{"__proto__": {"polluted": 1}, `);
  const sent = await fetch(`${base}/e/key`, { method: "POST", body: `[{"name": "evil/sent", "data": ${body}}]` });
  ids.event = (await sent.json()).ids[0];
  const [waits, fails] = await send(base, { name: "evil/waits", data: corpus }, { name: "evil/fails", data: corpus });
  const named = Object.entries(corpus).map(([what, text]) => ({
    name: `evil/${text.slice(0, 200)}`,
    data: { what, text },
    id: text.slice(0, 100),
  }));
  for (const event of named) await send(base, event);
  ids.steps = (await ended(base, ids.event!))[0]!.run_id;
  for (const run of await ended(base, fails!)) ids[run.function] = run.run_id;
  await until("a run that waits", async () => {
    ids.waits = (await runsOf(base, waits!))[0]!.run_id;
    return (await (await fetch(`${base}/v1/runs/${ids.waits}/why`)).json()).data.reason === "event";
  });
  const post = async (path: string, body: unknown) => {
    const answer = await fetch(base + path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    expect(answer.status, `${path}: ${await answer.clone().text()}`).toBeLessThan(300);
  };
  const said = `${corpus.image} ${corpus.bidi} ${corpus.link}`;
  await post("/v1/functions/evil-waits/pause", { hold: "starts", reason: said });
  await post(`/v1/dead-letters/${ids["evil-fails-script"]}/discard`, { reason: said });
  await post(`/v1/dead-letters/${ids["evil-fails-image"]}/note`, { note: said });
  await post("/v1/schedules", { function: "evil-steps", cron: "0 9 * * *", data: keys });
});
test.afterAll(async () => {
  for (const child of children) {
    const gone = new Promise((done) => child.once("exit", done));
    child.kill("SIGTERM");
    await gone;
  }
});

/** Nothing has run, and nothing of a payload has become markup, an address or a property. */
async function harmless(page: Page, where: string) {
  const found = await page.evaluate(() => {
    const all = [...document.querySelectorAll("*")];
    for (const at of [...all]) if (at.shadowRoot) all.push(...at.shadowRoot.querySelectorAll("*"));
    const bad: string[] = [];
    for (const at of all) {
      const tag = at.tagName.toLowerCase();
      if (at.matches("img.cm-widgetBuffer:not([src])")) continue; // of the editor itself
      if (at.classList.contains("evil") || ["evil", "iframe", "object", "embed", "img", "animate"].includes(tag))
        bad.push(at.outerHTML.slice(0, 200));
      if (tag === "script" && !(at as HTMLScriptElement).src.startsWith(location.origin)) bad.push(at.outerHTML.slice(0, 200));
      if ((tag === "base" || tag === "meta") && /evil/.test(at.outerHTML)) bad.push(at.outerHTML.slice(0, 200));
      for (const { name, value } of at.attributes) {
        if (name.startsWith("on")) bad.push(`${tag} ${name}=${value.slice(0, 100)}`);
        if (["href", "src", "action", "formaction", "xlink:href", "srcdoc"].includes(name)) {
          const url = new URL(value, document.baseURI);
          if (!/^https?:$/.test(url.protocol) || url.host === "evil.example") bad.push(`${tag} ${name}=${value.slice(0, 100)}`);
        }
      }
    }
    const words = document.body.textContent ?? "";
    return {
      bad,
      hacked: (window as { __hacked?: number }).__hacked,
      polluted: ({} as { polluted?: number }).polluted,
      turns: /[\u202a-\u202e\u2066-\u2069\u200e\u200f\u001b\u009b\u0008]/.exec(words)?.[0],
      title: document.title,
      // Which elements make the page wider than the window.
      sideways:
        document.documentElement.scrollWidth > document.documentElement.clientWidth
          ? [...document.querySelectorAll("main *")]
              .filter((at) => at.getBoundingClientRect().right > innerWidth)
              .map((at) => `${at.tagName} ${at.className} ${at.textContent?.slice(0, 40)}`)
          : [],
      hidden: getComputedStyle(document.body).display === "none",
    };
  });
  expect(found, where).toEqual({
    bad: [],
    hacked: undefined,
    polluted: undefined,
    turns: undefined,
    title: found.title,
    sideways: [],
    hidden: false,
  });
  expect(found.title, where).not.toMatch(/[\u202a-\u202e\u2066-\u2069]/);
}

const shot = (page: Page, name: string) => page.screenshot({ path: `e2e/shots/hostile/${name}.png`, animations: "disabled" });

for (const width of [360, 1440]) {
  test(`texts stay texts on every screen, ${width} px wide`, async ({ browser }) => {
    test.setTimeout(240_000);
    const context = await browser.newContext({
      viewport: { width, height: 900 },
      reducedMotion: "reduce",
      locale: "en-GB",
      timezoneId: "UTC",
    });
    const page = await context.newPage();
    const check = await watch(page);
    const dialogs: string[] = [];
    page.on("dialog", (dialog) => {
      dialogs.push(dialog.message());
      void dialog.dismiss();
    });
    const encoded = encodeURIComponent(corpus.image!);
    const screens: Record<string, string | RegExp> = {
      "/": "Newest failures",
      "/runs": "evil-",
      [`/runs?q=${encodeURIComponent(`error:"${corpus.image}"`)}`]: /evil-|No run matches|wrong|there is no/,
      [`/runs/${ids.steps}`]: "script: <script",
      [`/runs/${ids.waits}`]: "waits for an event",
      [`/runs/${encoded}`]: /It is not here|could not be read/,
      "/dead-letters": "onerror",
      "/dead-letters?state=all": "onerror",
      "/events": "evil/<img",
      [`/events/${ids.event}`]: "onerror",
      [`/events/${encoded}`]: /It is not here|could not be read/,
      [`/events?name=${encoded}`]: "No event <img",
      "/functions": "Steps <img",
      "/functions/evil-steps": "Starts on",
      "/functions/evil-waits": "onerror",
      [`/functions/${encoded}`]: "No app serves this function now",
      "/schedules": "evil-steps",
      "/apps": "evil",
      "/audit": "pause",
      "/settings": "This server",
      [`/login?to=${encodeURIComponent(corpus.url!)}`]: "Newest failures", // it goes on, and not there
      [`/setup#${corpus.image}`]: "Nobody has to log in here",
      [`/welcome#${corpus.image}`]: /link|Welcome/i,
    };
    for (const what of Object.keys(corpus)) screens[`/runs/${ids[`evil-fails-${what}`]}`] = "Failed";
    for (const [at, ready] of Object.entries(screens)) {
      await page.goto(base + at);
      await expect(page.getByRole("main").getByText(ready).first(), at).toBeVisible();
      await expect(page.getByLabel("Loading"), at).toHaveCount(0);
      await harmless(page, at);
    }
    expect(dialogs).toEqual([]);
    await check();
    await context.close();
  });
}

test("texts stay texts in what is opened: steps, payloads, letters, the palette, editors and questions", async ({ page }) => {
  test.setTimeout(180_000);
  const check = await watch(page);
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.goto(`${base}/runs/${ids.steps}`);
  for (const name of ["script", "image", "bidi", "long", "markdown"]) {
    await page.getByRole("button", { name: new RegExp(`^${name}: `) }).click();
    await expect(page.getByRole("region", { name: new RegExp(`^Step ${name}`) }).getByRole("heading", { name: /^Result/ })).toBeVisible();
    await harmless(page, `step ${name}`);
  }
  await shot(page, "step");
  await page.goto(`${base}/events/${ids.event}`);
  await expect(page.getByText("__proto__").first(), "keys are shown as they are").toBeVisible();
  await shot(page, "event");
  await page.goto(`${base}/audit`);
  await expect(page.getByRole("listitem").first()).toBeVisible();
  for (const line of await page.getByRole("listitem").getByRole("button").all()) await line.click();
  await expect(page.getByText("onerror").first()).toBeVisible();
  await harmless(page, "audit");
  await shot(page, "audit");
  await page.goto(`${base}/dead-letters`);
  for (const href of await page
    .getByRole("main")
    .getByRole("link")
    .evaluateAll((links) => links.slice(0, 6).map((a) => (a as HTMLAnchorElement).href))) {
    await page.goto(href);
    await expect(page.getByLabel("Loading")).toHaveCount(0);
    await harmless(page, href);
  }
  await shot(page, "group");
  await page.goto(`${base}/functions/evil-waits`);
  await expect(page.getByText("onerror").first()).toBeVisible();
  await page.getByRole("button", { name: "Resume" }).click();
  await harmless(page, "a question");
  for (const name of ["image", "bidi", "long"]) {
    await page.goto(`${base}/runs/${ids[`evil-fails-${name}`]}`);
    await expect(page.getByTestId("stack").first()).toBeVisible();
    await shot(page, `run-${name}`);
  }
  await page
    .getByRole("button", { name: /more characters$/ })
    .first()
    .click();
  await expect(page.getByText(corpus.long!).first(), "a long error is shown whole to whoever asks").toBeVisible();
  await page.keyboard.press("ControlOrMeta+k");
  await expect(page.getByRole("combobox", { name: "Find a page" })).toBeFocused();
  await page.keyboard.insertText(corpus.image!);
  await expect(page.getByRole("option").first()).toContainText("<img");
  await harmless(page, "the palette");
  await shot(page, "palette");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Edit and retry" }).click();
  await expect(page.getByTestId("editor").getByRole("textbox")).toContainText("onerror");
  await harmless(page, "the editor");
  await shot(page, "editor");
  await check();
});
