import type { Row } from "@/api/client";
import { between, lasted } from "./text";

// What a list says of a run, and how high its rows are: for the list, and for what is
// drawn before the dashboard is there.

/** What a run says of itself in a line: why it failed, or where it comes from and the data of its event. */
export const detail = (run: Row) => cut(run.problem || [origin(run), run.cron ? "" : brief(run.data)].filter(Boolean).join(" · "));

/** No more than fits into a line of this screen: what nobody sees is not laid out. */
function cut(text: string): string {
  const longest = Math.max(100, screen.width / 12);
  return text.length <= longest ? text : `${text.slice(0, longest).replace(/[\ud800-\udbff]$/, "")}…`; // no half of a letter
}

function origin(run: Row): string {
  if (run.cron) return `cron ${run.cron}`;
  if (run.event_name !== "inngest/function.invoked") return run.event_name;
  if (run.parent_function || run.parent_run_id) return `invoked by ${run.parent_function || "another run"}`;
  return run.original_run_id ? "invoked" : "invoked directly"; // somebody has, or a program; of a run that repeats another, that is not known
}

/** The members of an event's data, as far as they are short. What starts with _ is the SDK's. */
function brief(data: unknown): string {
  if (typeof data !== "object" || data === null || Array.isArray(data)) return "";
  const members = Object.entries(data).filter(([name, value]) => !name.startsWith("_") && value !== null && value !== "");
  return members.map(([name, value]) => `${name}: ${member(value)}`).join(", ");
}

function member(value: unknown): string {
  if (Array.isArray(value)) return `[${value.length}]`;
  if (typeof value === "object" && value !== null) return "{…}";
  // It was rounded when it was read: its digits would be those of another.
  if (typeof value === "number" && Math.abs(value) > Number.MAX_SAFE_INTEGER) return "…";
  return String(value);
}

/** How long a run has been at work, or was. */
export function took(run: Row, now: number): string {
  const ms = between(run.started_at, run.ended_at, now);
  if (ms === undefined) return "–";
  return lasted(run.ended_at ? ms : Math.floor(ms / 1000) * 1000);
}

/** Rows have one line where it is wide, and else two. */
export const wide = matchMedia("(min-width: 48rem)");

/** How high a row is, in pixels. No row is measured. */
export const rowHeight = () => (wide.matches ? 36 : 52);
