import { expect, type Page } from "@playwright/test";
import { twMerge } from "tailwind-merge";

const classes = (page: Page) =>
  page.evaluate(() => [...new Set([...document.querySelectorAll("[class]")].map((element) => element.getAttribute("class")!))]);

/** What must never happen on any page: a refused script, an error, a payload that runs. */
export async function watch(page: Page) {
  const wrong: string[] = [];
  page.on("pageerror", (error) => wrong.push(`error: ${error.message}`));
  page.on("console", (message) => {
    // Said by the policy listener below, with what it comes from.
    if (message.text().startsWith("Applying inline style violates")) return;
    if (message.type() === "error" && !/Failed to load resource.*(40[01349]|429|ERR_|50\d)/.test(message.text()))
      wrong.push(message.text());
  });
  page.on("request", (request) => {
    if (!/^(http:\/\/127\.0\.0\.1:|data:)/.test(request.url())) wrong.push(`asked ${request.url()}`);
  });
  await page.addInitScript(() => {
    // Chromium itself puts a style on text that is typed over a selection in an editor, and
    // refuses that by the policy: it comes from no script. It says so a little later, when
    // the focus may be elsewhere.
    let typed = false;
    document.addEventListener("beforeinput", ({ target }) => {
      typed ||= target instanceof Element && target.shadowRoot !== null;
    });
    document.addEventListener("securitypolicyviolation", (event) => {
      if (typed && event.violatedDirective === "style-src-attr" && !event.sourceFile) return;
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile} ${event.sample}`);
    });
  });
  return async () => {
    expect(await page.evaluate(() => (window as unknown as { __hacked?: number }).__hacked)).toBeUndefined();
    expect(wrong).toEqual([]);
    expect(
      (await classes(page)).filter((list) => twMerge(list) !== list.trim()),
      "classes that contradict each other",
    ).toEqual([]);
  };
}
