// What is drawn first can be looked at, and its links work. What else somebody does with it
// is kept, and done when the dashboard is in its place.

/** What a browser's tab remembers of how far the page was scrolled that was there before. */
const kept = "pawl-scrolled";

/** Whether the page comes again, and was scrolled: the dashboard alone knows what was there. */
export function cameScrolled(): boolean {
  const [how] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
  return how?.type !== "navigate" && Number(sessionStorage.getItem(kept)) > 0;
}

addEventListener("pagehide", () => sessionStorage.setItem(kept, String(scrollY)));

type Begun = { click: string } | { key: KeyboardEvent };

const begun: Begun[] = [];
/** More is not kept: nobody does more in so short a time. */
const most = 50;
/** What is drawn first. */
let first: Element | undefined;
let field: HTMLInputElement | null = null;
let focused = false;
let scrollable = false;

const root = () => document.getElementById("root")!;
const nameOf = (button: Element) => button.getAttribute("aria-label") ?? button.textContent;
const fieldOf = () => root().querySelector<HTMLInputElement>("[data-search]");

function keep(event: Event) {
  if (begun.length >= most) return;
  if (event instanceof KeyboardEvent) {
    if (event.target === document.body) begun.push({ key: event });
    return;
  }
  // What is clicked in the dashboard itself, that does at once.
  const button = event.target instanceof Element && first?.contains(event.target) ? event.target.closest("button") : null;
  if (button) begun.push({ click: nameOf(button) ?? "" });
}

/** Draws what is drawn first, and begins to keep what is done with it. */
export function drawFirst(what: Node) {
  root().replaceChildren(what);
  root().setAttribute("aria-busy", "true");
  first = root().firstElementChild ?? undefined;
  scrollable = true;
  addEventListener("click", keep);
  addEventListener("keydown", keep);
}

/** Whether rows are seen that were drawn before the dashboard was there. */
export const rowsAreDrawn = () => first?.querySelector("[data-row]") != null;

/** Keeps what would be lost with the elements that are drawn first. It is to be called just before the dashboard takes their place: nothing may come between. */
export function keepBegun() {
  field = fieldOf();
  focused = field !== null && field === document.activeElement;
}

/** Whether the page that begins takes the place of what was drawn first, which somebody may have scrolled. It is so once. */
export function takesPlace(): boolean {
  if (!scrollable) return false;
  scrollable = false;
  document.dispatchEvent(new Event("scroll")); // the router keeps for a reload only what it has seen move
  return true;
}

/** Does what was begun. It is to be called when the dashboard has taken the place, and listens. */
export async function goOn() {
  if (!first) return;
  first = undefined;
  removeEventListener("click", keep);
  removeEventListener("keydown", keep);
  root().removeAttribute("aria-busy");
  const input = fieldOf();
  if (input && field && input.value !== field.value) {
    // A component hears of what is typed only when it does not know the value yet.
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value")?.set?.call(input, field.value);
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }
  if (input && field && focused) {
    input.focus();
    input.setSelectionRange(field.selectionStart, field.selectionEnd);
  }
  field = null;
  for (const one of begun.splice(0)) {
    if ("key" in one) document.dispatchEvent(new KeyboardEvent("keydown", one.key));
    else [...root().querySelectorAll("button")].find((button) => nameOf(button) === one.click)?.click();
    await new Promise((next) => setTimeout(next)); // each finds what the one before has made
  }
}
