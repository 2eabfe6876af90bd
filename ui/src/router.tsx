import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from "@tanstack/react-router";
import * as v from "valibot";
import { appsQuery, overviewQuery, queryClient, runsQuery, traceQuery } from "./api/queries";
import { Shell } from "./components/Shell";
import { Failed, NotFound } from "./components/states";
import { parse } from "./lib/filter";
import { Overview } from "./pages/Overview";
import { Runs } from "./pages/Runs";

// Every page and what its address may say. A page is loaded when it is first opened,
// but for the two that are opened first, and what it shows is asked for meanwhile.

/** Waits a moment for what a page shows, so that it is drawn once. A page says by itself that it still waits. */
const soon = (asked: Promise<unknown>) => Promise.race([asked, new Promise((done) => setTimeout(done, 100))]).then(() => {});

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound, errorComponent: ({ error }) => <Failed error={error} /> });

const text = v.optional(v.fallback(v.string(), ""), undefined);

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
    await soon(queryClient.prefetchInfiniteQuery(runsQuery(search)));
    return { search };
  },
  component: Runs,
});
export const runRoute = createRoute({
  getParentRoute: () => root,
  path: "/runs/$run",
  validateSearch: v.object({ step: text, tab: text }),
  loader: ({ params }) => soon(queryClient.prefetchQuery(traceQuery(params.run))),
  component: lazyRouteComponent(() => import("./pages/Run"), "RunPage"),
});
export const deadRoute = createRoute({
  getParentRoute: () => root,
  path: "/dead-letters",
  validateSearch: v.object({ state: text }),
  component: lazyRouteComponent(() => import("./pages/DeadLetters"), "DeadLetters"),
});
export const groupRoute = createRoute({
  getParentRoute: () => root,
  path: "/dead-letters/$fingerprint",
  validateSearch: v.object({ state: text }),
  component: lazyRouteComponent(() => import("./pages/DeadGroup"), "DeadGroup"),
});
const functions = createRoute({
  getParentRoute: () => root,
  path: "/functions",
  component: lazyRouteComponent(() => import("./pages/Functions"), "Functions"),
});
export const functionRoute = createRoute({
  getParentRoute: () => root,
  path: "/functions/$slug",
  component: lazyRouteComponent(() => import("./pages/Function"), "FunctionPage"),
});
export const eventsRoute = createRoute({
  getParentRoute: () => root,
  path: "/events",
  validateSearch: v.object({ name: text, hours: v.optional(v.fallback(v.number(), 24)) }),
  component: lazyRouteComponent(() => import("./pages/Events"), "Events"),
});
export const eventRoute = createRoute({
  getParentRoute: () => root,
  path: "/events/$event",
  component: lazyRouteComponent(() => import("./pages/Event"), "EventPage"),
});
const schedules = createRoute({
  getParentRoute: () => root,
  path: "/schedules",
  component: lazyRouteComponent(() => import("./pages/Schedules"), "Schedules"),
});
export const appsRoute = createRoute({
  getParentRoute: () => root,
  path: "/apps",
  validateSearch: v.object({ language: text }),
  component: lazyRouteComponent(() => import("./pages/Apps"), "Apps"),
});
const audit = createRoute({
  getParentRoute: () => root,
  path: "/audit",
  component: lazyRouteComponent(() => import("./pages/Audit"), "Audit"),
});
const settings = createRoute({
  getParentRoute: () => root,
  path: "/settings",
  component: lazyRouteComponent(() => import("./pages/Settings"), "Settings"),
});
export const loginRoute = createRoute({
  getParentRoute: () => root,
  path: "/login",
  validateSearch: v.object({ to: text }),
  component: lazyRouteComponent(() => import("./pages/Login"), "Login"),
});

const people = createRoute({
  getParentRoute: () => root,
  path: "/people",
  component: lazyRouteComponent(() => import("./pages/People"), "People"),
});
const tokens = createRoute({
  getParentRoute: () => root,
  path: "/tokens",
  component: lazyRouteComponent(() => import("./pages/Tokens"), "Tokens"),
});
const keys = createRoute({
  getParentRoute: () => root,
  path: "/keys",
  component: lazyRouteComponent(() => import("./pages/Keys"), "Keys"),
});
const account = createRoute({
  getParentRoute: () => root,
  path: "/account",
  component: lazyRouteComponent(() => import("./pages/Account"), "Account"),
});
const welcome = createRoute({
  getParentRoute: () => root,
  path: "/welcome",
  component: lazyRouteComponent(() => import("./pages/Login"), "Welcome"),
});

const setup = createRoute({
  getParentRoute: () => root,
  path: "/setup",
  component: lazyRouteComponent(() => import("./pages/Login"), "Setup"),
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
  defaultPreload: "intent",
  scrollRestoration: true,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
