import type { Schemas } from "@/api/client";

export type Control = Schemas["Control"];

/** What holds back runs of a function: its app's pause, its own, and those of single values of its keys, the newest first. */
export function pausesOf(controls: Control[], slug: string, app?: string) {
  const paused = controls.filter((c) => c.paused);
  return {
    app: paused.find((c) => app !== undefined && c.name === `app/${app}`),
    whole: paused.find((c) => c.name === slug && !c.key),
    values: paused.filter((c) => c.name === slug && c.key).sort((a, b) => Date.parse(b.since) - Date.parse(a.since)),
  };
}

/** What becomes of the runs that a pause is about. */
export function effectOf(c: Pick<Control, "paused" | "refuse">): string {
  const all = c.paused === "all";
  const fresh = c.refuse ? "what would start is skipped" : all ? "new runs are kept and wait" : "what has not is kept and waits";
  return `${all ? "No request is made" : "What has begun goes on"}; ${fresh}.`;
}
