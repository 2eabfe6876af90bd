import type { Search } from "@/api/ask";

// The filter language: words of the form key:value, and text in quotation marks when it
// has a space; in those \" is a quotation mark. Words of one key mean any of them; of
// different keys, all. What begins with no key is looked for in errors: it is what people paste.
//
//   status:failed function:shop-charge event:order/* data.customer.id=42 error:"timed out" after:2h before:2026-01-02
//   data."full name"="Ann \"the cat\" Smith" TypeError: x is not a function

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

function split(text: string, escapes: boolean): { list: Word[]; closed: boolean } {
  const list: Word[] = [];
  let i = 0;
  let quoted = false;
  while (i < text.length) {
    while (text[i] === " ") i++;
    if (i >= text.length) break;
    const from = i;
    while (i < text.length && (quoted || text[i] !== " ")) {
      if (escapes && quoted && text.startsWith('\\"', i)) i++;
      else if (text[i] === '"') quoted = !quoted;
      i++;
    }
    list.push({ text: text.slice(from, i), from, to: i });
  }
  return { list, closed: !quoted };
}

function unquoted(text: string, escapes: boolean): string {
  let plain = "";
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    if (escapes && quoted && text.startsWith('\\"', i)) plain += text[++i];
    else if (text[i] === '"') quoted = !quoted;
    else plain += text[i];
  }
  return plain;
}

/** The words of a filter, and what takes quotation marks out of them. */
function read(text: string): { list: Word[]; plain: (text: string) => string } {
  // Where a last quotation mark would not be closed, a backslash before one is itself: "C:\temp\".
  const escapes = split(text, true).closed || !split(text, false).closed;
  return { list: split(text, escapes).list, plain: (part) => unquoted(part, escapes) };
}

/** The words of a filter, with where they stand. Quotation marks keep spaces together. */
export const words = (text: string): Word[] => read(text).list;

/** The key that a word begins with, in any letter case; "" when it has none. */
function keyOf(word: string): string {
  const key = word.slice(0, Math.max(0, word.indexOf(":"))).toLowerCase();
  return keys.some((k) => k.key === key) ? key : "";
}

/** Whether a key was meant, with a letter too many, too few, or wrong, or two of them swapped. */
function isSlip(typed: string, key: string): boolean {
  let from = 0;
  while (from < typed.length && typed[from] === key[from]) from++;
  let [a, b] = [typed.length, key.length];
  while (a > from && b > from && typed[a - 1] === key[b - 1]) [a, b] = [a - 1, b - 1];
  const [is, was] = [typed.slice(from, a), key.slice(from, b)];
  return key.length > 3 && /^\w+$/.test(typed) && (Math.max(is.length, was.length) < 2 || (is.length === 2 && is === was[1]! + was[0]));
}

const dataWord = /^data\.((?:"(?:\\"|\\(?!")|[^"\\])*"|[^"=~!])+)(!=|=|~)(.*)$/is;
const dataStart = /^data\.((?:"(?:\\"|\\(?!")|[^"\\])*"|[^"=~!])*(?:"(?:\\"|\\(?!")|[^"\\])*)?)$/i;
const quotedPart = /"(?:\\"|\\(?!")|[^"\\])*"/g;

export type Parsed = { search: Search; problems: string[] };

/** What a filter asks for, and what is wrong with it. */
export function parse(text: string, now = Date.now()): Parsed {
  const search: Search = {};
  const problems: string[] = [];
  const add = (name: "status" | "function" | "app" | "data", value: string) => {
    search[name] = [...(search[name] ?? []), value];
  };
  const { list, plain } = read(text);
  const addText = (text: string) => {
    search.error = search.error ? `${search.error} ${text}` : text;
  };
  for (const [i, word] of list.entries()) {
    if (/^data\./i.test(word.text)) {
      const match = dataWord.exec(word.text);
      if (!match) problems.push(`${word.text}: write data.path=value, with ~ for "has in it" and != for "is not"`);
      else if (match[1]!.match(quotedPart)?.some((name) => /[.=~!]/.test(name)))
        problems.push(`${word.text}: a name with . = ~ or ! in it cannot be asked for`);
      else add("data", plain(match[1]!) + match[2]! + plain(match[3]!));
      continue;
    }
    const at = word.text.indexOf(":");
    const typed = word.text.slice(0, Math.max(0, at));
    const key = keyOf(word.text);
    const value = plain(word.text.slice(at + 1));
    if (key !== "" && value === "") {
      const next = list[i + 1]?.text;
      // "Error: no money" and "Status: 500" are pasted; "error: no money" asks for the same.
      if (next !== undefined && typed !== key) addText(word.text);
      else if (key !== "error" || next === undefined || keyOf(next) !== "" || /^data\./i.test(next))
        problems.push(`${typed}: needs a value`);
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
      default:
        if (value !== "" && keys.some((k) => isSlip(typed.toLowerCase(), k.key)))
          problems.push(`there is no ${typed}: here; there are ${keys.map((k) => k.key).join(", ")}`);
        else addText(plain(word.text));
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

/** In quotation marks; a backslash that would be read with the mark after it stands outside of them. */
const inQuotes = (value: string) =>
  `"${value.replace(/(\\*)("|$)/g, (_, slashes, mark) => (slashes && `"${slashes}"`) + (mark && '\\"'))}"`;

export const quoted = (value: string) => (/[ "]/.test(value) ? inQuotes(value) : value);

/** A filter with a word of that key taken out or put in. */
export function toggle(text: string, key: string, value: string): string {
  const { list, plain } = read(text);
  const isIt = ({ text }: Word) => keyOf(text) === key && plain(text.slice(key.length + 1)).toLowerCase() === value.toLowerCase();
  const others = list.filter((w) => !isIt(w)).map((w) => w.text);
  return (others.length < list.length ? others : [...others, `${key}:${quoted(value)}`]).join(" ");
}

/** A filter without the words of that key. */
export const without = (text: string, key: string) =>
  words(text)
    .map((w) => w.text)
    .filter((w) => keyOf(w) !== key)
    .join(" ");

/** A filter for what somebody typed or pasted: what would be wrong in a filter is looked for in errors. */
export function filterFor(text: string): string {
  if (parse(text).problems.length === 0) return text;
  const { list, plain } = read(text);
  return list.map((w) => (parse(w.text).problems.length > 0 ? inQuotes(plain(w.text)) : w.text)).join(" ");
}

/** What a word could become; known has the names that there are. */
export function complete(
  text: string,
  cursor: number,
  known: { functions: string[]; apps: string[]; events: string[]; fields?: { path: string; types: string[] }[] },
): { from: number; to: number; options: { text: string; hint?: string }[] } {
  const { list, plain } = read(text);
  const word = list.find((w) => w.from <= cursor && cursor <= w.to) ?? { text: "", from: cursor, to: cursor };
  const typed = word.text.slice(0, cursor - word.from);
  const at = typed.indexOf(":");
  const place = { from: word.from, to: word.to };
  const start = dataStart.exec(typed)?.[1];
  if (start !== undefined) {
    const path = plain(start).toLowerCase();
    const options = (known.fields ?? [])
      .filter((f) => !f.path.includes("[]") && f.path.toLowerCase().includes(path))
      .slice(0, 12)
      .map((f) => {
        const more = f.types.length === 1 && f.types[0] === "object";
        return { text: `data.${f.path.split(".").map(quoted).join(".")}${more ? "." : "="}`, hint: f.types.join(" or ") };
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
  const key = keyOf(typed);
  const value = plain(typed.slice(at + 1)).toLowerCase();
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
