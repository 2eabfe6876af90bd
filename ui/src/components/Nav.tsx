import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useRouterState } from "@tanstack/react-router";
import {
  Activity,
  AppWindow,
  CalendarClock,
  FileClock,
  Gauge,
  Inbox,
  KeyRound,
  MoonStar,
  Settings2,
  Skull,
  SquareFunction,
  Sun,
  SunMoon,
  Ticket,
  Users,
} from "lucide-react";
import { logOut } from "@/api/actions";
import { base } from "@/api/ask";
import { useConnection } from "@/api/live";
import { groupsQuery, meQuery, serverQuery } from "@/api/queries";
import { cn } from "@/lib/cn";
import { usePainted } from "@/lib/painted";
import { usePrefs } from "@/lib/prefs";
import { shown } from "@/lib/text";
import { PlainLink } from "./PlainLink";
import { Button } from "./ui/button";

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

export function Logo() {
  return (
    <svg viewBox="0 0 32 32" className="size-6" aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="#1a56c4" />
      <path d="M11 26V7h7a6 6 0 0 1 0 12h-7" fill="none" stroke="#fff" strokeWidth="4" strokeLinejoin="round" strokeLinecap="round" />
    </svg>
  );
}

function OpenLetters() {
  const groups = useInfiniteQuery({ ...groupsQuery("open"), enabled: usePainted((s) => s.painted) });
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
export function usePlaces() {
  const me = useQuery({ ...meQuery, enabled: usePainted((s) => s.painted) });
  return places.filter((place) => !("serve" in place) || me.data?.dev === false);
}

export function Places({ onPick }: { onPick?: () => void }) {
  const places = usePlaces();
  const path = useRouterState({ select: (s) => s.location.pathname });
  return (
    <nav aria-label="Main" className="flex flex-col gap-0.5 px-3">
      {places.map((place) => {
        const here = place.to === "/" ? path === "/" : path === place.to || path.startsWith(`${place.to}/`);
        return (
          <PlainLink
            key={place.to}
            path={place.to}
            preload
            onClick={onPick}
            aria-current={here ? "page" : undefined}
            className={cn(
              "flex h-8 items-center gap-2.5 rounded-md px-2.5 text-sm [&_svg]:size-4 [&_svg]:shrink-0",
              here ? "bg-accent-wash font-medium text-accent" : "text-soft hover:bg-sunken hover:text-ink",
            )}
          >
            {place.icon}
            {place.label}
            {place.to === "/dead-letters" && <OpenLetters />}
          </PlainLink>
        );
      })}
    </nav>
  );
}

export const themes = {
  system: { next: "light", icon: <SunMoon /> },
  light: { next: "dark", icon: <Sun /> },
  dark: { next: "system", icon: <MoonStar /> },
} as const;

/** Who is logged in; nobody is in dev. */
function Me() {
  const me = useQuery({ ...meQuery, enabled: usePainted((s) => s.painted) });
  if (!me.data?.name || me.data.dev) return null;
  return (
    <div className="flex items-center gap-2">
      <PlainLink path="/account" className="min-w-0 flex-1 truncate text-soft hover:text-ink hover:underline" title="Your account">
        {shown(me.data.name)} <span className="text-faint">· {me.data.role}</span>
      </PlainLink>
      <Button kind="quiet" size="low" className="-mr-2" onClick={() => void logOut().finally(() => location.assign(`${base}/login`))}>
        Log out
      </Button>
    </div>
  );
}

export function Foot() {
  const server = useQuery({ ...serverQuery, enabled: usePainted((s) => s.painted) });
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
          size="smallIcon"
          className="-my-1 ml-auto"
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
