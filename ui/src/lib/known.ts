import type { Schemas } from "@/api/client";

// The last hour is known from some time on: after a start, as far as it could be read.

type Overview = Schemas["Overview"];

const hour = 3_600_000;

/** From when on the last hour is known, in milliseconds; undefined when all of it is. */
export function knownFrom(o: Pick<Overview, "since" | "end">): number | undefined {
  const since = Date.parse(o.since);
  return since > Date.parse(o.end) - hour ? since : undefined;
}

/** "since 10:52" */
export const sinceText = (from: number) => `since ${new Date(from).toLocaleTimeString("sv", { hour: "2-digit", minute: "2-digit" })}`;

/** How many of so many equal parts of the last hour are not known, or not wholly. */
export function unknownOf(o: Pick<Overview, "since" | "end">, parts: number): number {
  const from = knownFrom(o);
  if (from === undefined) return 0;
  const gone = (from - (Date.parse(o.end) - hour)) / (hour / parts);
  return Math.min(parts - 1, Math.floor(gone));
}
