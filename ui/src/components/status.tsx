import type { ReactNode } from "react";
import { cn } from "@/lib/cn";

// A status is a shape, a colour and a word: any one of them is enough.

export type Tone = "good" | "bad" | "busy" | "warn" | "idle";

const tones: Record<string, Tone> = {
  completed: "good",
  failed: "bad",
  running: "busy",
  queued: "idle",
  cancelled: "idle",
  skipped: "idle",
  planned: "idle",
  sleeping: "busy",
  waiting: "busy",
  retrying: "warn",
  unreachable: "warn",
  missed: "warn",
  left: "idle",
  deferred: "good",
  aborted: "idle",
  refused: "bad",
  open: "bad",
  retried: "good",
  discarded: "idle",
  stopped: "bad",
  done: "good",
};

export const toneOf = (status: string): Tone => tones[status.toLowerCase()] ?? "idle";

export const inkOf: Record<Tone, string> = {
  good: "text-good",
  bad: "text-bad",
  busy: "text-busy",
  warn: "text-warn",
  idle: "text-idle",
};
const washOf: Record<Tone, string> = {
  good: "bg-good-wash text-good",
  bad: "bg-bad-wash text-bad",
  busy: "bg-busy-wash text-busy",
  warn: "bg-warn-wash text-warn",
  idle: "bg-idle-wash text-idle",
};

const shapes: Record<string, ReactNode> = {
  completed: <path d="M4.7 8.3l2.2 2.2 4.4-4.8" />,
  failed: <path d="M5.5 5.5l5 5m0-5l-5 5" />,
  running: <path d="M8 1.5a6.5 6.5 0 0 1 0 13z" fill="currentColor" stroke="none" />,
  queued: <circle cx="8" cy="8" r="1.4" fill="currentColor" stroke="none" />,
  cancelled: <path d="M4 12l8-8" />,
  skipped: <path d="M5.5 5.5L8 8l-2.5 2.5M9 5.5L11.5 8 9 10.5" />,
  sleeping: <path d="M8 4.5V8l2.3 1.5" />,
  waiting: <path d="M6.4 5.5v5m3.2-5v5" />,
  retrying: <path d="M10.7 6.2A3.2 3.2 0 1 0 11.2 8m0-2.6v1.4H9.8" />,
  unreachable: <path d="M8 4.6v4.2m0 2.2v.1" />,
  missed: <path d="M8 4.6v4.2m0 2.2v.1" />,
  deferred: <path d="M5 8h5.5m-2-2.3L10.8 8l-2.3 2.3" />,
  retried: <path d="M10.7 6.2A3.2 3.2 0 1 0 11.2 8m0-2.6v1.4H9.8" />,
  open: <path d="M5.5 5.5l5 5m0-5l-5 5" />,
  done: <path d="M4.7 8.3l2.2 2.2 4.4-4.8" />,
  stopped: <rect x="5.7" y="5.7" width="4.6" height="4.6" fill="currentColor" stroke="none" />,
};

/** The shape of a status, in the colour of the text around it. */
/** A row of a list that is chosen. */
export const chosenStyle = "bg-accent-wash shadow-[inset_2px_0_var(--accent)]";

export function Glyph({ status, small, className }: { status: string; small?: boolean; className?: string }) {
  const key = status.toLowerCase();
  return (
    <svg
      viewBox="0 0 16 16"
      aria-hidden="true"
      className={cn(small ? "size-3.5" : "size-4", "shrink-0", (key === "running" || key === "retrying") && "breathing", className)}
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeLinecap="round"
      strokeLinejoin="round"
    >
      <circle cx="8" cy="8" r="6.5" strokeDasharray={key === "queued" || key === "planned" || key === "skipped" ? "2.2 2.2" : undefined} />
      {shapes[key]}
    </svg>
  );
}

export function StatusWord({ status, className }: { status: string; className?: string }) {
  return (
    <span className={cn("inline-flex items-center gap-1.5 font-medium whitespace-nowrap", inkOf[toneOf(status)], className)}>
      <Glyph status={status} />
      {status}
    </span>
  );
}

export function StatusPill({ status, children }: { status: string; children?: ReactNode }) {
  return (
    <span
      className={cn(
        "inline-flex items-center gap-1.5 rounded-full py-0.5 pr-2.5 pl-1.5 text-xs font-medium whitespace-nowrap",
        washOf[toneOf(status)],
      )}
    >
      <Glyph status={status} small />
      {children ?? status}
    </span>
  );
}
