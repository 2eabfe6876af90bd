import type { Span } from "@/api/client";

// What a trace says of a run as a whole.

const after = (at: string | null | undefined, time: number) => at != null && Date.parse(at) > time;

/**
 * The steps whose last try failed and that are tried again, the newest failure first. The
 * function's body stays so until the function has ended: it counts until a step shows that
 * its next try has got further.
 */
export function failingOf(steps: Span[]): Span[] {
  const list = steps.filter((s) => {
    if (s.status !== "retrying" && s.status !== "unreachable") return false;
    const last = s.tries.at(-1);
    if (!last) return false;
    if (s.step !== "step") return true;
    const failed = Date.parse(last.ended_at ?? last.next_at ?? "");
    return !steps.some((o) => o !== s && [o.started_at, o.ended_at, ...o.tries.map((t) => t.ended_at)].some((at) => after(at, failed)));
  });
  const failedAt = (s: Span) => Date.parse(s.tries.at(-1)?.ended_at ?? "") || 0;
  return list.sort((a, b) => failedAt(b) - failedAt(a));
}
