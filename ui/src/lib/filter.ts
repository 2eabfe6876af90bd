import type { Search } from "@/api/ask";

// The filter language: words of the form key:value, and text in quotation marks when it
// has a space. Words of one key mean any of them; of different keys, all.
//
//   status:failed function:shop-charge event:order/* data.customer.id=42 error:"timed out" after:2h before:2026-01-02

export const statuses = ["Queued", "Running", "Completed", "Failed", "Cancelled", "Skipped"] as const;

const keys = [
  { key: "status", hint: "queued, running, completed, failed, cancelled or skipped" },
  { key: "function", hint: "slug of a function" },
  { key: "app", hint: "name of an app" },
  { key: "event", hint: "name of an event; order/* means: begins with order/" },
  { key: "data.", hint: "a value in the event's data: data.id=42, data.name~ann, data.ok!=true" },
  { key: "error", hint: "a part of the error" },
  { key: "after", hint: "queued after: 15m, 2h, 7d, or a date" },
  { key: "before", hint: "queued before: 15m, 2h, 7d, or a date" },
  { key: "id", hint: "of an event" },
] as const;

export type Word = { text: string; from: number; to: number };

/** The words of a filter, with where they stand. Quotation marks keep spaces together. */
export function words(text: string): Word[] {
  const list: Word[] = [];
  let i = 0;
  while (i < text.length) {
    while (text[i] === " ") i++;
    if (i >= text.length) break;
    const from = i;
    let quoted = false;
    while (i < text.length && (quoted || text[i] !== " ")) {
      if (text[i] === '"') quoted = !quoted;
      i++;
    }
    list.push({ text: text.slice(from, i), from, to: i });
  }
  return list;
}

const unquoted = (text: string) => text.replaceAll('"', "");

export type Parsed = { search: Search; problems: string[] };

/** What a filter asks for, and what is wrong with it. */
export function parse(text: string, now = Date.now()): Parsed {
  const search: Search = {};
  const problems: string[] = [];
  const add = (name: "status" | "function" | "app" | "data", value: string) => {
    search[name] = [...(search[name] ?? []), value];
  };
  for (const word of words(text)) {
    if (/^data\./.test(word.text)) {
      const match = /^data\.([^=~!]+)(!=|=|~)(.*)$/s.exec(word.text);
      if (match) add("data", match[1] + match[2]! + unquoted(match[3]!));
      else problems.push(`${word.text}: write data.path=value, with ~ for "has in it" and != for "is not"`);
      continue;
    }
    const at = word.text.indexOf(":");
    const key = at < 0 ? "" : word.text.slice(0, at);
    const value = unquoted(word.text.slice(at + 1));
    if (key !== "" && value === "") {
      problems.push(`${key}: needs a value`);
      continue;
    }
    switch (key) {
      case "status": {
        const status = statuses.find((s) => s.toLowerCase() === value.toLowerCase());
        if (status) add("status", status);
        else problems.push(`there is no status ${value}; there are ${statuses.join(", ").toLowerCase()}`);
        break;
      }
      case "function":
      case "app":
        add(key, value);
        break;
      case "event":
      case "error":
        if (search[key]) problems.push(`${key}: can be given once`);
        search[key] = value;
        break;
      case "id":
        search.event_id = value;
        break;
      case "after":
      case "before": {
        const time = parseTime(value, now);
        if (!time) problems.push(`${key}: write a time such as 15m, 2h, 7d, 2026-01-02 or 2026-01-02T15:04`);
        else search[key === "after" ? "from" : "until"] = time;
        break;
      }
      case "":
        // A bare word is looked for in errors: it is what people paste.
        search.error = search.error ? `${search.error} ${unquoted(word.text)}` : unquoted(word.text);
        break;
      default:
        problems.push(`there is no ${key}: here; there are ${keys.map((k) => k.key).join(", ")}`);
    }
  }
  return { search, problems };
}

const units: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 7 * 86_400_000 };

const firstTime = Date.parse("0000-01-01T00:00:00Z");
const pastTime = Date.parse("+010000-01-01T00:00:00Z");

function parseTime(value: string, now: number): string | undefined {
  const span = /^(\d+)([smhdw])$/.exec(value);
  if (!span && !/^\d{4}-\d\d-\d\d/.test(value)) return undefined;
  const at = span
    ? // To the minute, so that a filter that is read again is the same one.
      new Date(Math.floor((now - Number(span[1]) * units[span[2]!]!) / 60_000) * 60_000)
    : new Date(value.length === 10 ? `${value}T00:00` : value);
  // The server knows the years 0 to 9999.
  return at.getTime() >= firstTime && at.getTime() < pastTime ? at.toISOString() : undefined;
}

export const quoted = (value: string) => (value.includes(" ") ? `"${value}"` : value);

/** A filter with a word of that key taken out or put in. */
export function toggle(text: string, key: string, value: string): string {
  const want = `${key}:${quoted(value)}`.toLowerCase();
  const list = words(text).map((w) => w.text);
  const without = list.filter((w) => w.toLowerCase() !== want);
  return (without.length < list.length ? without : [...list, `${key}:${quoted(value)}`]).join(" ");
}

/** A filter without the words of that key. */
export const without = (text: string, key: string) =>
  words(text)
    .map((w) => w.text)
    .filter((w) => !w.toLowerCase().startsWith(`${key}:`))
    .join(" ");

/** What a word could become; known has the names that there are. */
export function complete(
  text: string,
  cursor: number,
  known: { functions: string[]; apps: string[]; events: string[]; fields?: { path: string; types: string[] }[] },
): { from: number; to: number; options: { text: string; hint?: string }[] } {
  const word = words(text).find((w) => w.from <= cursor && cursor <= w.to) ?? { text: "", from: cursor, to: cursor };
  const typed = word.text.slice(0, cursor - word.from);
  const at = typed.indexOf(":");
  const place = { from: word.from, to: word.to };
  const path = /^data\.([^=~!]*)$/.exec(typed)?.[1];
  if (path !== undefined) {
    const options = (known.fields ?? [])
      .filter((f) => !f.path.includes("[]") && f.path.toLowerCase().includes(path.toLowerCase()))
      .slice(0, 12)
      .map((f) => {
        const more = f.types.length === 1 && f.types[0] === "object";
        return { text: `data.${f.path}${more ? "." : "="}`, hint: f.types.join(" or ") };
      })
      .filter((o) => o.text !== typed);
    return { ...place, options };
  }
  if (at < 0) {
    const options = keys
      .filter((k) => k.key.startsWith(typed.toLowerCase()))
      .map((k) => ({ text: k.key.endsWith(".") ? k.key : `${k.key}:`, hint: k.hint }));
    return { ...place, options };
  }
  const key = typed.slice(0, at);
  const value = unquoted(typed.slice(at + 1)).toLowerCase();
  const values: Record<string, readonly string[]> = {
    status: statuses.map((s) => s.toLowerCase()),
    function: known.functions,
    app: known.apps,
    event: known.events,
    after: ["15m", "1h", "6h", "1d", "7d"],
    before: ["15m", "1h", "6h", "1d", "7d"],
  };
  const options = (values[key] ?? [])
    .filter((v) => v.toLowerCase().includes(value) && v.toLowerCase() !== value)
    .slice(0, 12)
    .map((v) => ({ text: `${key}:${quoted(v)}` }));
  return { ...place, options };
}
