import { createRootRoute, createRoute, createRouter } from "@tanstack/react-router";
import * as v from "valibot";
import { appsQuery, overviewQuery, queryClient, runsQuery, traceQuery } from "./api/queries";
import { page } from "./components/part";
import { Shell } from "./components/Shell";
import { Broken, NotFound } from "./components/states";
import { rowsAreDrawn, takesPlace } from "./lib/begun";
import { parse } from "./lib/filter";
import { Overview } from "./pages/Overview";
import { Runs } from "./pages/Runs";

// Every page and what its address may say. A page is loaded when it is first opened
// or when nothing else is to be done, but for the two that are opened first, and what it shows is asked for meanwhile.

/** Waits a moment for what a page shows, so that it is drawn once. A page says by itself that it still waits. */
const soon = (asked: Promise<unknown>, wait = 100) => Promise.race([asked, new Promise((done) => setTimeout(done, wait))]).then(() => {});

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound, errorComponent: Broken });

const text = v.optional(v.fallback(v.string(), ""), undefined);
const number = (otherwise: number) =>
  v.optional(v.fallback(v.pipe(v.unknown(), v.transform(Number), v.integer(), v.minValue(1), v.maxValue(1_000_000)), otherwise));

const overview = createRoute({
  getParentRoute: () => root,
  path: "/",
  loader: () => soon(Promise.all([queryClient.prefetchQuery(overviewQuery), queryClient.prefetchQuery(appsQuery)])),
  component: Overview,
});
export const runsRoute = createRoute({
  getParentRoute: () => root,
  path: "/runs",
  validateSearch: v.object({ q: text }),
  loaderDeps: ({ search }) => ({ q: search.q }),
  loader: async ({ deps }) => {
    const { search } = parse(deps.q ?? "");
    const asked = queryClient.prefetchInfiniteQuery(runsQuery(search));
    await soon(asked);
    // Rows that are seen already have their answer; they do not go away until it is read again.
    if (rowsAreDrawn()) await soon(asked, 5000);
    return { search };
  },
  component: Runs,
});
export const runRoute = createRoute({
  getParentRoute: () => root,
  path: "/runs/$run",
  validateSearch: v.object({ step: text, tab: text, find: text }),
  loader: ({ params }) => soon(queryClient.prefetchQuery(traceQuery(params.run))),
  component: page(() => import("./pages/Run").then((m) => m.RunPage)),
});
export const deadRoute = createRoute({
  getParentRoute: () => root,
  path: "/dead-letters",
  validateSearch: v.object({ state: text }),
  component: page(() => import("./pages/DeadLetters").then((m) => m.DeadLetters)),
});
export const groupRoute = createRoute({
  getParentRoute: () => root,
  path: "/dead-letters/$fingerprint",
  validateSearch: v.object({ state: text }),
  component: page(() => import("./pages/DeadGroup").then((m) => m.DeadGroup)),
});
const functions = createRoute({
  getParentRoute: () => root,
  path: "/functions",
  component: page(() => import("./pages/Functions").then((m) => m.Functions)),
});
export const functionRoute = createRoute({
  getParentRoute: () => root,
  path: "/functions/$slug",
  component: page(() => import("./pages/Function").then((m) => m.FunctionPage)),
});
export const eventsRoute = createRoute({
  getParentRoute: () => root,
  path: "/events",
  validateSearch: v.object({ name: text, hours: number(24) }),
  component: page(() => import("./pages/Events").then((m) => m.Events)),
});
export const eventRoute = createRoute({
  getParentRoute: () => root,
  path: "/events/$event",
  component: page(() => import("./pages/Event").then((m) => m.EventPage)),
});
const schedules = createRoute({
  getParentRoute: () => root,
  path: "/schedules",
  component: page(() => import("./pages/Schedules").then((m) => m.Schedules)),
});
export const appsRoute = createRoute({
  getParentRoute: () => root,
  path: "/apps",
  validateSearch: v.object({ language: text }),
  component: page(() => import("./pages/Apps").then((m) => m.Apps)),
});
const audit = createRoute({
  getParentRoute: () => root,
  path: "/audit",
  component: page(() => import("./pages/Audit").then((m) => m.Audit)),
});
const settings = createRoute({
  getParentRoute: () => root,
  path: "/settings",
  component: page(() => import("./pages/Settings").then((m) => m.Settings)),
});
export const loginRoute = createRoute({
  getParentRoute: () => root,
  path: "/login",
  validateSearch: v.object({ to: text }),
  component: page(() => import("./pages/Login").then((m) => m.Login)),
});

const people = createRoute({
  getParentRoute: () => root,
  path: "/people",
  component: page(() => import("./pages/People").then((m) => m.People)),
});
const tokens = createRoute({
  getParentRoute: () => root,
  path: "/tokens",
  component: page(() => import("./pages/Tokens").then((m) => m.Tokens)),
});
const keys = createRoute({
  getParentRoute: () => root,
  path: "/keys",
  component: page(() => import("./pages/Keys").then((m) => m.Keys)),
});
const account = createRoute({
  getParentRoute: () => root,
  path: "/account",
  component: page(() => import("./pages/Account").then((m) => m.Account)),
});
const welcome = createRoute({
  getParentRoute: () => root,
  path: "/welcome",
  component: page(() => import("./pages/Login").then((m) => m.Welcome)),
});

const setup = createRoute({
  getParentRoute: () => root,
  path: "/setup",
  component: page(() => import("./pages/Login").then((m) => m.Setup)),
});

export const router = createRouter({
  routeTree: root.addChildren([
    overview,
    runsRoute,
    runRoute,
    deadRoute,
    groupRoute,
    functions,
    functionRoute,
    eventsRoute,
    eventRoute,
    schedules,
    appsRoute,
    audit,
    settings,
    people,
    tokens,
    keys,
    account,
    loginRoute,
    welcome,
    setup,
  ]),
  basepath: new URL(document.baseURI).pathname,
  // An error of a page leaves what is around it.
  defaultErrorComponent: Broken,
  // What an address says is text, also when it looks like a number or like JSON.
  parseSearch: (search) => Object.fromEntries(new URLSearchParams(search)),
  stringifySearch: (search) => {
    const given = Object.entries(search).filter(([, value]) => value !== undefined);
    const text = new URLSearchParams(given.map(([key, value]) => [key, String(value)])).toString();
    return text && `?${text}`;
  },
  defaultPreload: "intent",
  // A page begins at its top, or where it was left, unless what was drawn first is scrolled already.
  scrollRestoration: () => !takesPlace(),
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
