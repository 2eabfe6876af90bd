import { Dialog as Base } from "@base-ui/react/dialog";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, Outlet, useNavigate, useRouterState } from "@tanstack/react-router";
import {
  Activity,
  AppWindow,
  CalendarClock,
  FileClock,
  Gauge,
  Inbox,
  KeyRound,
  Menu,
  MoonStar,
  Search,
  Settings2,
  Skull,
  SquareFunction,
  Sun,
  SunMoon,
  Ticket,
  Users,
  X,
} from "lucide-react";
import { type ReactNode, useEffect } from "react";
import { logOut } from "@/api/actions";
import { ApiError, base } from "@/api/client";
import { useConnection } from "@/api/live";
import { groupsQuery, meQuery, queryClient, serverQuery } from "@/api/queries";
import { cn } from "@/lib/cn";
import { useCommand, useCommands, useKeys } from "@/lib/keys";
import { usePrefs } from "@/lib/prefs";
import { shown } from "@/lib/text";
import { Help, Palette } from "./Palette";
import { Button } from "./ui/button";
import { Toasts } from "./ui/toast";

const places = [
  { to: "/", label: "Overview", icon: <Gauge />, keys: "g o" },
  { to: "/runs", label: "Runs", icon: <Activity />, keys: "g r" },
  { to: "/dead-letters", label: "Dead letters", icon: <Skull />, keys: "g d" },
  { to: "/events", label: "Events", icon: <Inbox />, keys: "g e" },
  { to: "/functions", label: "Functions", icon: <SquareFunction />, keys: "g f" },
  { to: "/schedules", label: "Schedules", icon: <CalendarClock />, keys: "g s" },
  { to: "/apps", label: "Apps", icon: <AppWindow />, keys: "g a" },
  { to: "/people", label: "People", icon: <Users />, keys: "g p", serve: true },
  { to: "/tokens", label: "API tokens", icon: <Ticket />, keys: "g t", serve: true },
  { to: "/keys", label: "Keys", icon: <KeyRound />, keys: "g k", serve: true },
  { to: "/audit", label: "Audit log", icon: <FileClock />, keys: "g l" },
  { to: "/settings", label: "Settings", icon: <Settings2 />, keys: "g ," },
] as const;

function Logo() {
  return (
    <svg viewBox="0 0 32 32" className="size-6" aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="#1a56c4" />
      <path d="M11 26V7h7a6 6 0 0 1 0 12h-7" fill="none" stroke="#fff" strokeWidth="4" strokeLinejoin="round" strokeLinecap="round" />
    </svg>
  );
}

function OpenLetters() {
  const groups = useInfiniteQuery(groupsQuery("open"));
  const open = groups.data?.pages.flat().reduce((sum, g) => sum + g.open, 0) ?? 0;
  if (!open) return null;
  return (
    <span className="tabular ml-auto rounded-full bg-bad-wash px-1.5 text-2xs leading-5 font-semibold text-bad" title={`${open} open`}>
      {open > 999 ? "999+" : open}
      <span className="sr-only"> open</span>
    </span>
  );
}

/** The places that there are: in dev there are no people and no keys. */
function usePlaces() {
  const me = useQuery(meQuery);
  return places.filter((place) => !("serve" in place) || me.data?.dev === false);
}

function Places({ onPick }: { onPick?: () => void }) {
  const places = usePlaces();
  return (
    <nav aria-label="Main" className="flex flex-col gap-0.5 px-3">
      {places.map((place) => (
        <Link
          key={place.to}
          to={place.to}
          onClick={onPick}
          activeOptions={{ exact: place.to === "/", includeSearch: false }}
          activeProps={{ className: "bg-accent-wash text-accent font-medium", "aria-current": "page" }}
          inactiveProps={{ className: "text-soft hover:bg-sunken hover:text-ink" }}
          className="flex h-8 items-center gap-2.5 rounded-md px-2.5 text-sm [&_svg]:size-4 [&_svg]:shrink-0"
        >
          {place.icon}
          {place.label}
          {place.to === "/dead-letters" && <OpenLetters />}
        </Link>
      ))}
    </nav>
  );
}

const themes = {
  system: { next: "light", icon: <SunMoon /> },
  light: { next: "dark", icon: <Sun /> },
  dark: { next: "system", icon: <MoonStar /> },
} as const;

/** Who is logged in; nobody is in dev. */
function Me() {
  const me = useQuery(meQuery);
  if (!me.data?.name || me.data.dev) return null;
  return (
    <div className="flex items-center gap-2">
      <Link to="/account" className="min-w-0 flex-1 truncate text-soft hover:text-ink hover:underline" title="Your account">
        {shown(me.data.name)} <span className="text-faint">· {me.data.role}</span>
      </Link>
      <Button kind="quiet" size="small" className="-mr-2 h-6" onClick={() => void logOut().finally(() => location.assign(`${base}/login`))}>
        Log out
      </Button>
    </div>
  );
}

function Foot() {
  const server = useQuery(serverQuery);
  const { theme, setTheme } = usePrefs();
  const connection = useConnection();
  return (
    <div className="mt-auto space-y-2 border-t border-line px-4 py-3 text-xs text-faint">
      <div className="flex items-center gap-2">
        <span
          aria-hidden="true"
          className={cn(
            "size-2 rounded-full",
            connection === "live" ? "bg-good" : connection === "offline" ? "bg-bad" : "breathing bg-warn",
          )}
        />
        <span>{connection === "live" ? "Live" : connection === "offline" ? "Offline" : "Connecting"}</span>
        <Button
          kind="quiet"
          size="icon"
          className="-my-1 ml-auto size-7"
          aria-label={`Colours: ${theme}. Switch to ${themes[theme].next}`}
          title={`Colours: ${theme}`}
          onClick={() => setTheme(themes[theme].next)}
        >
          {themes[theme].icon}
        </Button>
      </div>
      <Me />
      {server.data && (
        <div className="truncate" title={server.data.version}>
          {server.data.dev ? "dev · " : ""}
          {server.data.version}
        </div>
      )}
    </div>
  );
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
    <kbd className="font-sans text-2xs">⌘K</kbd>
  </button>
);

export function Shell() {
  const navigate = useNavigate();
  const path = useRouterState({ select: (s) => s.location.pathname });
  useKeys();
  const places = usePlaces();
  const me = useQuery(meQuery);
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
    { id: "help", label: "Show the keys", group: "Help", keys: "?", run: () => useCommands.setState({ helpOpen: true }) },
    {
      id: "theme",
      label: "Switch colours: system, light, dark",
      group: "Help",
      run: () => usePrefs.getState().setTheme(themes[usePrefs.getState().theme].next),
    },
  ]);
  const connection = useConnection();
  useEffect(
    () =>
      queryClient.getQueryCache().subscribe((event) => {
        const error = event.query.state.error;
        if (
          event.type === "updated" &&
          error instanceof ApiError &&
          error.status === 401 &&
          !/\/(login|setup|welcome)$/.test(location.pathname)
        ) {
          void navigate({ to: "/login", search: { to: location.pathname + location.search } });
        }
      }),
    [navigate],
  );
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
        <Link to="/" className="flex items-center gap-2.5 px-5 text-base font-semibold tracking-tight">
          <Logo /> Pawl
        </Link>
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
      <Palette />
      <Help />
      <Toasts />
    </div>
  );
}

function TopBar(): ReactNode {
  return (
    <header className="sticky top-0 z-30 flex h-12 items-center gap-2 border-b border-line bg-panel px-3 md:hidden">
      <Base.Root>
        <Base.Trigger render={<Button kind="quiet" size="icon" aria-label="Menu" />}>
          <Menu />
        </Base.Trigger>
        <Base.Portal>
          <Base.Backdrop className="fixed inset-0 z-40 bg-black/35" />
          <Base.Popup className="fixed inset-y-0 left-0 z-50 flex w-64 flex-col gap-4 border-r border-line bg-raised pt-3 outline-none">
            <div className="flex items-center gap-2.5 pr-3 pl-5 text-base font-semibold">
              <Logo />
              <Base.Title className="flex-1">Pawl</Base.Title>
              <Base.Close render={<Button kind="quiet" size="icon" aria-label="Close" />}>
                <X />
              </Base.Close>
            </div>
            <Base.Close nativeButton={false} render={<div />}>
              <Places />
            </Base.Close>
            <Foot />
          </Base.Popup>
        </Base.Portal>
      </Base.Root>
      <Link to="/" className="flex items-center gap-2 font-semibold tracking-tight">
        <Logo /> Pawl
      </Link>
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
