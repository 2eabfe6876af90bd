import type { InfiniteData } from "@tanstack/react-query";
import { pageOfRuns, type Search } from "./ask";
import type { Row, Schemas } from "./client";

// Lists of runs, and what news of runs make of them.

export type Changed = Schemas["Changed"];
export type Pages = InfiniteData<Schemas["Found"], string>;

/** How many rows a list keeps that grows by itself: older ones are asked for again. */
const mostLive = 20 * pageOfRuns;

/** A list with the runs as they are now, and whether only the server can say what else is to be known: if some belong to it, or what new ones come from. */
export function patch(pages: Pages, runs: Changed[], search: Search): { next: Pages; unsure: boolean } {
  const news = new Map(runs.map((run) => [run.run_id, run]));
  let touched = false;
  const changed = pages.pages.map((page) => {
    let same = true;
    const rows: Row[] = [];
    for (const row of page.runs) {
      const now = news.get(row.run_id);
      news.delete(row.run_id);
      if (!now || isBefore(now, row)) {
        rows.push(row);
        continue;
      }
      same = false;
      // Where it comes from, only searches tell.
      if (belongs(now, search) !== false) rows.push({ ...now, data: row.data, parent_function: row.parent_function });
    }
    if (same) return page;
    touched = true;
    return { ...page, runs: rows };
  });
  let unsure = false;
  const fresh: Row[] = [];
  for (const row of news.values()) {
    const verdict = belongs(row, search);
    if (verdict === undefined) unsure = true;
    // What is older than the list reaches is on a page that was not asked for.
    if (!verdict || isBeyond(row, pages)) continue;
    fresh.push(row);
    if (!row.cron) unsure = true; // where it comes from, only searches tell
  }
  if (!touched && fresh.length === 0) return { next: pages, unsure };
  const [first, ...rest] = changed;
  if (first && fresh.length > 0) {
    const rows = [...fresh, ...first.runs].sort(newestFirst);
    changed[0] = { ...first, runs: rows };
    if (rows.length > mostLive) return { next: touched ? { ...pages, pages: [first, ...rest] } : pages, unsure: true };
    return { next: { ...pages, pages: [changed[0], ...rest] }, unsure };
  }
  return { next: { ...pages, pages: changed }, unsure };
}

/** Whether news are older than what is known: a run does not go back. */
const isBefore = (news: Changed, known: Row) =>
  (known.ended_at !== null && news.ended_at === null) || news.seq < ((known as Partial<Changed>).seq ?? 0);

const newestFirst = (a: Row, b: Row) =>
  a.queued_at === b.queued_at
    ? a.run_id < b.run_id
      ? 1
      : -1
    : Date.parse(b.queued_at) - Date.parse(a.queued_at) || (a.run_id < b.run_id ? 1 : -1);

function isBeyond(row: Row, pages: Pages): boolean {
  const last = pages.pages.at(-1);
  if (!last?.cursor) return false; // the list has an end
  const oldest = last.runs.at(-1);
  return oldest !== undefined && newestFirst(oldest, row) < 0;
}

/** Whether a run is one that a search asks for; undefined when only the server knows. */
export function belongs(row: Row, search: Search): boolean | undefined {
  const of = (list: string[] | undefined, value: string) => !list?.length || list.some((v) => v.toLowerCase() === value.toLowerCase());
  if (!of(search.status, row.status) || !(search.function?.length || search.app?.length ? anyOf(search, row) : true)) return false;
  if (search.event_id && row.event_id !== search.event_id) return false;
  if (search.event && !eventIs(search.event, row.event_name)) return false;
  if (search.from && Date.parse(row.queued_at) < Date.parse(search.from)) return false;
  if (search.until && Date.parse(row.queued_at) >= Date.parse(search.until)) return false;
  if (search.error && row.status !== "Failed") return false;
  if (search.error || search.data?.length) return undefined;
  return true;
}

const anyOf = (search: Search, row: Row) => (search.function ?? []).includes(row.function) || (search.app ?? []).includes(row.app);
const eventIs = (want: string, name: string) => (want.endsWith("*") ? name.startsWith(want.slice(0, -1)) : name === want);

/** A list with its head as the server has just given it. mayCut: it may be cut to that, when it is long. */
export function withHead(pages: Pages, head: Schemas["Found"], mayCut: boolean): Pages {
  const known = pages.pages.flatMap((page) => page.runs);
  const fresh = new Set(head.runs.map((row) => row.run_id));
  const oldest = head.runs.at(-1);
  // A page that is not full ends where the server has looked no further.
  const full = head.runs.length >= pageOfRuns;
  const isBelow = (row: Row) =>
    !full && head.searched_to
      ? Date.parse(row.queued_at) <= Date.parse(head.searched_to)
      : oldest !== undefined && newestFirst(oldest, row) < 0;
  const rest = known.filter((row) => !fresh.has(row.run_id) && isBelow(row));
  // Without a row in common with a full page there is a gap: the list begins anew.
  const gap = full && !known.some((row) => fresh.has(row.run_id));
  if (!head.cursor || gap || (mayCut && rest.length > mostLive)) return { pages: [head], pageParams: [""] };
  // Where the list goes on: after its last row, which may be the head's.
  const last = full && rest.length === 0 ? head : pages.pages.at(-1);
  return {
    pages: [{ ...head, runs: [...head.runs, ...rest], cursor: last?.cursor ?? "", searched_to: last?.searched_to ?? null }],
    pageParams: [""],
  };
}
