import type { Span } from "@/api/client";
import { shown } from "./text";

// What is drawn of a step, on the time axis of its run.

/** What a step is called where it is shown: a name may be empty. */
export const nameOf = ({ name }: { name: string }) => (name.trim() === "" ? "(no name)" : shown(name));

const ms = (at: string | null | undefined) => (at ? Date.parse(at) : undefined);

/** wait: it was due, and not at work. ahead: the rest of a rest; next: until the next try. */
export type BarKind = "good" | "bad" | "busy" | "rest" | "pause" | "wait" | "ahead" | "next" | "copied";
export type Bar = { from: number; to: number; kind: BarKind; open?: boolean };

const resting = new Set(["Sleep", "WaitForEvent", "WaitForSignal", "InvokeFunction"]);

/** Before or after the step's own time. */
export const isOutside = (bar: Bar) => bar.kind === "wait" || bar.kind === "ahead" || bar.kind === "next";

/**
 * What is drawn of a step: its waits in the queue, its tries, the pauses between them, and
 * rests. live: the run goes on, and what is planned of the step is drawn too.
 */
export function barsOf(span: Span, now: number, live = false): Bar[] {
  const bars: Bar[] = [];
  if (span.copied || span.given) {
    const at = ms(span.ended_at) ?? now;
    return [{ from: at, to: at, kind: "copied" }];
  }
  // Since when it is due.
  let due = ms(span.planned_at);
  const wait = (until: number) => {
    if (due !== undefined && until > due) bars.push({ from: due, to: until, kind: "wait" });
    due = undefined;
  };
  if (resting.has(span.op) && span.started_at) {
    const open = !span.ended_at && (span.status === "sleeping" || span.status === "waiting");
    const until = ms(span.until);
    wait(ms(span.started_at)!);
    bars.push({
      from: ms(span.started_at)!,
      to: ms(span.ended_at) ?? (open ? now : (until ?? now)),
      kind: span.status === "failed" ? "bad" : "rest",
      open,
    });
    if (live && open && until !== undefined && until > now) bars.push({ from: now, to: until, kind: "ahead" });
    return bars;
  }
  for (const t of span.tries) {
    const from = ms(t.started_at) ?? ms(t.ended_at) ?? now;
    const to = ms(t.ended_at) ?? now;
    wait(from);
    bars.push({ from, to, kind: t.problem ? "bad" : "good", open: !t.ended_at });
    due = ms(t.next_at);
    if (due === undefined) continue;
    bars.push({ from: to, to: Math.min(due, Math.max(now, to)), kind: "pause" });
    if (live && due > now) bars.push({ from: now, to: due, kind: "next" });
  }
  if (span.status === "planned" && span.started_at) bars.push({ from: ms(span.started_at)!, to: now, kind: "busy", open: true });
  else if (!span.ended_at) wait(now);
  return bars;
}

/** The time that a step took in all, without what it waited in the queue for its first try. */
export function spanTook(span: Span, now: number): number | undefined {
  if (span.copied || span.given) return undefined;
  const bars = barsOf(span, now).filter((b) => !isOutside(b));
  if (bars.length === 0) return undefined;
  return Math.max(...bars.map((b) => b.to)) - Math.min(...bars.map((b) => b.from));
}

/** How long a step was due and not at work. */
export const spanWaited = (span: Span, now: number): number =>
  barsOf(span, now).reduce((sum, b) => sum + (b.kind === "wait" ? b.to - b.from : 0), 0);

export type StepSort = "failed" | "waiting";

const open = new Set(["planned", "sleeping", "waiting", "retrying", "unreachable"]);

/** What somebody may look for among many steps: those of which a try failed, and those that wait. */
export function sortOf(span: Span): StepSort[] {
  const list: StepSort[] = [];
  if (span.status === "failed" || span.tries.some((t) => t.problem)) list.push("failed");
  if (open.has(span.status)) list.push("waiting");
  return list;
}

/** What is said of a run that has ended and has no step to show, by its status. */
export function withoutSteps(status: string): { title: string; text: string } {
  const title = "No step of it was remembered";
  switch (status) {
    case "Failed":
      return { title, text: "It failed before. Why is told above." };
    case "Cancelled":
      return { title, text: "It was cancelled before." };
    case "Skipped":
      return { title: "It has no steps", text: "It was skipped: its function was not called." };
    default:
      return { title: "It ended without a step", text: "The function returned without a step that had to be remembered." };
  }
}
