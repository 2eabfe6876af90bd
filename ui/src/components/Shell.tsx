import { useQuery } from "@tanstack/react-query";
import { Outlet, useNavigate, useRouterState } from "@tanstack/react-router";
import { Menu, Search } from "lucide-react";
import { type ComponentType, useEffect, useLayoutEffect, useState } from "react";
import { ApiError } from "@/api/client";
import { useConnection } from "@/api/live";
import { meQuery, queryClient } from "@/api/queries";
import { goOn } from "@/lib/begun";
import { cn } from "@/lib/cn";
import { useCommand, useCommands, useKeys } from "@/lib/keys";
import { drawn, usePainted } from "@/lib/painted";
import { findKeys } from "@/lib/platform";
import { usePrefs } from "@/lib/prefs";
import { Foot, Logo, Places, themes, usePlaces } from "./Nav";
import { PlainLink } from "./PlainLink";
import { loadPages } from "./part";
import { Button } from "./ui/button";

/** Goes to the page to log in when the server does not know who asks, once it says so of itself as well. */
function useLoginPage() {
  const navigate = useNavigate();
  useEffect(() => {
    const atDoor = () => /\/(login|setup|welcome)$/.test(location.pathname);
    /** Whether somebody is known after all: one request may be refused by what stands before the server. */
    const known = () =>
      queryClient.fetchQuery({ ...meQuery, staleTime: 0, retry: false }).then(
        (me) => Boolean(me.name),
        (error) => !(error instanceof ApiError && error.status === 401),
      );
    return queryClient.getQueryCache().subscribe(async ({ type, query }) => {
      const error = query.state.error;
      if (type !== "updated" || !(error instanceof ApiError) || error.status !== 401 || query.queryKey[0] === "me" || atDoor()) return;
      if ((await known()) || atDoor()) return;
      void navigate({ to: "/login", search: { to: location.pathname + location.search } });
    });
  }, [navigate]);
}

/** What nobody sees at first. It comes when the page is there; if the server is not, when that is back. */
function useLate(ready: boolean) {
  const [Late, setLate] = useState<ComponentType>();
  useEffect(() => {
    if (!ready || Late) return;
    import("./Late").then(
      (late) => setLate(() => late.default),
      () => {}, // the page says that the server is away
    );
  }, [ready, Late]);
  return Late;
}

/** A mark in the browser's timeline: from here on, nothing is asked for that nobody wants to see. */
const allLoaded = "pages-loaded";

/** Loads the pages that were not opened, when nothing else is to be done. */
function usePagesAhead(ready: boolean) {
  useEffect(() => {
    if (!ready) return;
    const soon = window.requestIdleCallback ?? ((work: () => void) => setTimeout(work, 300));
    soon(() => {
      const font = document.fonts.load('1em "JetBrains Mono Variable"'); // which lists do without
      void Promise.allSettled([font, loadPages()]).then(() => performance.mark(allLoaded));
    });
  }, [ready]);
}

const SearchBox = ({ className }: { className?: string }) => (
  <button
    type="button"
    onClick={() => useCommands.setState({ paletteOpen: true })}
    className={cn(
      "flex h-8 items-center gap-2 rounded-md border border-line-strong bg-panel px-2.5 text-sm text-faint hover:border-faint",
      className,
    )}
  >
    <Search className="size-3.5" />
    <span className="flex-1 text-left">Find or do…</span>
    <kbd className="font-sans text-2xs">{findKeys}</kbd>
  </button>
);

/** Goes to the search of the page, or to that of everything. */
function search() {
  const field = document.querySelector<HTMLInputElement>("#content [data-search]");
  field?.focus();
  field?.select();
  if (!field) useCommands.setState({ paletteOpen: true });
}

export function Shell() {
  const navigate = useNavigate();
  const path = useRouterState({ select: (s) => s.location.pathname });
  useKeys();
  const painted = usePainted((s) => s.painted);
  useEffect(drawn, []);
  const places = usePlaces();
  const me = useQuery({ ...meQuery, enabled: painted });
  useCommand([
    ...(me.data?.dev === false
      ? [{ id: "/account", label: "Go to your account", group: "Go", run: () => void navigate({ to: "/account" }) }]
      : []),
    ...places.map((place) => ({
      id: place.to,
      label: `Go to ${place.label.toLowerCase()}`,
      group: "Go",
      keys: place.keys as string,
      run: () => void navigate({ to: place.to }),
    })),
    { id: "search", label: "Search", group: "Help", keys: "/", run: search },
    { id: "help", label: "Show the keys", group: "Help", keys: "?", run: () => useCommands.setState({ helpOpen: true }) },
    {
      id: "theme",
      label: "Switch colours: system, light, dark",
      group: "Help",
      run: () => usePrefs.getState().setTheme(themes[usePrefs.getState().theme].next),
    },
  ]);
  useLayoutEffect(() => void goOn(), []); // all that is above listens by now
  const connection = useConnection();
  const Late = useLate(painted && connection !== "offline");
  usePagesAhead(Late !== undefined && connection === "live");
  useLoginPage();
  if (/\/(login|setup|welcome)$/.test(path)) return <Outlet />;
  return (
    <div className="flex min-h-dvh flex-col md:flex-row">
      <a
        href="#content"
        className="sr-only focus:not-sr-only focus:fixed focus:top-2 focus:left-2 focus:z-50 focus:rounded focus:bg-panel focus:p-2"
      >
        Skip to the content
      </a>
      <aside className="sticky top-0 hidden h-dvh w-56 shrink-0 flex-col gap-4 border-r border-line bg-panel pt-4 md:flex">
        <PlainLink path="/" className="flex items-center gap-2.5 px-5 text-base font-semibold tracking-tight">
          <Logo /> Pawl
        </PlainLink>
        <SearchBox className="mx-4" />
        <Places />
        <Foot />
      </aside>
      <TopBar />
      <main id="content" tabIndex={-1} className="min-w-0 flex-1 outline-none">
        {connection === "offline" && (
          <div
            role="status"
            className="sticky top-12 z-20 border-b border-warn/30 bg-warn-wash px-4 py-1.5 text-center text-sm text-warn md:top-0"
          >
            The server does not answer. What you see may be old; it goes on by itself.
          </div>
        )}
        <Outlet />
      </main>
      {Late && <Late />}
    </div>
  );
}

function TopBar() {
  return (
    <header className="sticky top-0 z-30 flex h-12 items-center gap-2 border-b border-line bg-panel px-3 md:hidden">
      <Button kind="quiet" size="icon" aria-label="Menu" aria-haspopup="dialog" onClick={() => useCommands.setState({ menuOpen: true })}>
        <Menu />
      </Button>
      <PlainLink path="/" className="flex items-center gap-2 font-semibold tracking-tight">
        <Logo /> Pawl
      </PlainLink>
      <Button
        kind="quiet"
        size="icon"
        className="ml-auto"
        aria-label="Find or do"
        onClick={() => useCommands.setState({ paletteOpen: true })}
      >
        <Search />
      </Button>
    </header>
  );
}
