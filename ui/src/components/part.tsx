import { type ComponentType, createElement, type ReactNode, useEffect, useReducer, useState } from "react";
import { base } from "@/api/ask";
import { Unreachable } from "@/api/away";
import { useConnection } from "@/api/live";
import { Failed } from "./states";

// Parts of the dashboard that come when somebody wants to see them. One that cannot come,
// because the server is away, says so in its place, and comes when the server is back:
// what is around it stays.

type Part<P> = ((props: P) => ReactNode) & { preload: () => Promise<void> };

/** Before one that did not come is asked for again, if nothing says before that the server is back. */
const pause = 3000;

export function part<P extends object>(
  load: () => Promise<ComponentType<P>>,
  { waiting, away }: { waiting?: ReactNode; away?: ComponentType<P> } = {},
): Part<P> {
  let got: ComponentType<P> | undefined;
  let asked: Promise<boolean> | undefined;
  /** Whether it is there then. */
  const ask = () => {
    asked ??= load().then(
      (component) => {
        got = component;
        return true;
      },
      () => {
        asked = undefined;
        return false;
      },
    );
    return asked;
  };
  const Away = away ?? (() => <Failed error={new Unreachable()} />);
  const Show: Part<P> = (props) => {
    const connection = useConnection();
    const [tries, again] = useReducer((n: number) => n + 1, 0);
    const [missing, setMissing] = useState(false);
    const there = got !== undefined;
    // It is asked for with each try, and when the server is back.
    useEffect(() => {
      if (there) return;
      let timer: ReturnType<typeof setTimeout> | undefined;
      let over = false;
      void ask().then((came) => {
        if (over) return;
        setMissing(!came);
        if (came) again();
        else timer = setTimeout(again, pause);
      });
      return () => {
        over = true;
        clearTimeout(timer);
      };
    }, [there, connection, tries]);
    if (got) return createElement(got, props);
    return missing ? <Away {...props} /> : waiting;
  };
  Show.preload = async () => {
    await ask();
  };
  return Show;
}

const pages: (() => Promise<void>)[] = [];

/** A page, for the router. */
export function page(load: () => Promise<ComponentType>): Part<object> {
  const it = part(() => load().catch(renew), { away: () => <Failed error={new Unreachable()} whole /> });
  pages.push(it.preload);
  return it;
}

/** Loads all pages, one after the other, so that they are there when the server is not. */
export async function loadPages() {
  for (const preload of pages) await preload();
}

/** What the browser remembers of having been here. */
const renewed = "pawl-renewed";

/**
 * A server whose dashboard is another version does not have the pages of this one: its own is
 * loaded, once. One that was away for a moment has them again.
 */
async function renew(error: unknown): Promise<never> {
  const version = document.querySelector("script[src]")?.getAttribute("src") ?? "";
  const its = await fetch(`${base}/`, { headers: { Accept: "text/html" } }).then(
    (answer) => (answer.ok ? answer.text() : ""),
    () => "",
  );
  if (its !== "" && !its.includes(version) && sessionStorage.getItem(renewed) !== version) {
    sessionStorage.setItem(renewed, version);
    location.reload();
  }
  throw error;
}
