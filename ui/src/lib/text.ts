/** Makes visible what would be invisible, or would turn the text around it. */
export function shown(text: string): string {
  return text
    .replace(/\u001b\[[0-9;]*m/g, "")
    .replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
}

export const count = (n: number) => n.toLocaleString("en");

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

const clockForm = new Intl.DateTimeFormat("sv", {
  year: "numeric",
  month: "2-digit",
  day: "2-digit",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  fractionalSecondDigits: 3,
});

/** As the clock on the wall shows it. */
export const clock = (at: string | number) => clockForm.format(new Date(at)).replace(",", ".");

const shortForm = new Intl.DateTimeFormat("sv", {
  month: "2-digit",
  day: "2-digit",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
export const shortClock = (at: string | number) => shortForm.format(new Date(at));
