/** Makes visible what would be invisible, or would turn the text around it. */
export function shown(text: string): string {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
}

/** A whole number, in groups of three digits. The browser's own way to write it takes 10 ms the first time. */
export const count = (n: number) => String(n).replace(/\B(?=(\d{3})+$)/g, ",");

/** 1 run, 2 runs. */
export const many = (n: number, one: string, more = `${one}s`) => `${count(n)} ${n === 1 ? one : more}`;

export function bytes(n: number): string {
  if (n < 1024) return `${n} B`;
  if (n < 1024 * 1024) return `${(n / 1024).toFixed(n < 10240 ? 1 : 0)} KiB`;
  return `${(n / 1024 / 1024).toFixed(1)} MiB`;
}

/** How long something lasted, in milliseconds, for people. */
export function lasted(ms: number): string {
  if (ms < 0) return "0 ms"; // two clocks were read
  if (ms < 1) return "<1 ms";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  const s = Math.round(ms / 1000);
  if (s < 3600) return s % 60 ? `${Math.floor(s / 60)}m ${s % 60}s` : `${s / 60}m`;
  const m = Math.round(s / 60);
  if (m < 60 * 24) return m % 60 ? `${Math.floor(m / 60)}h ${m % 60}m` : `${m / 60}h`;
  const h = Math.round(m / 60);
  return h % 24 ? `${Math.floor(h / 24)}d ${h % 24}h` : `${h / 24}d`;
}

/** Time from one to the other; now, when it has not ended. */
export const between = (from: string | null | undefined, to: string | null | undefined, now: number) =>
  from ? (to ? Date.parse(to) : now) - Date.parse(from) : undefined;

/** "3 m ago", or "in 3 m". */
export function ago(at: string | number, now: number): string {
  const ms = now - (typeof at === "number" ? at : Date.parse(at));
  const size = Math.abs(ms);
  if (size < 1500) return "now";
  let text: string;
  if (size < 60_000) text = `${Math.round(size / 1000)} s`;
  else if (size < 3_600_000) text = `${Math.floor(size / 60_000)} m`;
  else if (size < 86_400_000) text = `${Math.floor(size / 3_600_000)} h`;
  else text = `${Math.floor(size / 86_400_000)} d`;
  return ms < 0 ? `in ${text}` : `${text} ago`;
}

const digits = (n: number, of: number) => String(n).padStart(of, "0");
const day = (t: Date) => `${digits(t.getMonth() + 1, 2)}-${digits(t.getDate(), 2)}`;
const time = (t: Date) => `${digits(t.getHours(), 2)}:${digits(t.getMinutes(), 2)}:${digits(t.getSeconds(), 2)}`;

/** As the clock on the wall shows it. */
export function clock(at: string | number): string {
  const t = new Date(at);
  return `${digits(t.getFullYear(), 4)}-${day(t)} ${time(t)}.${digits(t.getMilliseconds(), 3)}`;
}

export function shortClock(at: string | number): string {
  const t = new Date(at);
  return `${day(t)} ${time(t)}`;
}

/** How far the reader's clock is from UTC then, as "UTC+2". */
export function zone(at: string | number): string {
  const minutes = -new Date(at).getTimezoneOffset();
  const size = Math.abs(minutes);
  const rest = size % 60 ? `:${digits(size % 60, 2)}` : "";
  return minutes === 0 ? "UTC" : `UTC${minutes < 0 ? "\u2212" : "+"}${Math.floor(size / 60)}${rest}`;
}

/** A time as the clock on the wall shows it: with its day, when that is not today's. */
export function wall(at: string, now: number): string {
  const t = new Date(at);
  const today = new Date(now);
  if (t.toDateString() === today.toDateString()) return time(t);
  return `${t.getFullYear() === today.getFullYear() ? "" : `${digits(t.getFullYear(), 4)}-`}${day(t)} ${time(t)}`;
}

/** How long until then, as a countdown: "in 2h 40m"; "now", when it has come. */
export function until(at: string, now: number): string {
  const ms = Date.parse(at) - now;
  if (ms < 1500) return "now";
  return `in ${ms < 60_000 ? `${Math.round(ms / 1000)} s` : lasted(ms)}`;
}

/** A sentence, cut where the times are that it has, in their order. */
export function cutTimes(text: string, times: string[]): { text: string; at?: string }[] {
  const parts: { text: string; at?: string }[] = [];
  let from = 0;
  for (const at of times) {
    const i = text.indexOf(at, from);
    if (i < 0) continue;
    if (i > from) parts.push({ text: text.slice(from, i) });
    parts.push({ text: at, at });
    from = i + at.length;
  }
  if (from < text.length) parts.push({ text: text.slice(from) });
  return parts;
}

/** Letters of scripts that are written from right to left. */
const rightToLeft = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/** Letters as they are seen: one may be of many characters. */
function lettersOf(text: string): string[] {
  if (/^[ -~]*$/.test(text)) return [...text];
  return Array.from(new Intl.Segmenter().segment(text), (s) => s.segment);
}

/**
 * A long name in two parts, of which the first may be cut: what tells names apart is often their
 * end. One that is written from right to left, also in part, is one: its parts have no order.
 */
export function halves(name: string, tail = 6): [string, string] {
  if (rightToLeft.test(name)) return [name, ""];
  const letters = lettersOf(name);
  return letters.length < tail * 2 ? [name, ""] : [letters.slice(0, -tail).join(""), letters.slice(-tail).join("")];
}
