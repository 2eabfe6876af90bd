import { expect, test } from "vitest";
import type { Span } from "@/api/client";
import { barsOf, sortOf, spanTook, spanWaited, withoutSteps } from "./spans";

const zero = Date.UTC(2026, 0, 1);
const at = (s: number) => new Date(zero + s * 1000).toISOString();
const now = (s: number) => zero + s * 1000;
const step = (more: Partial<Span>): Span => ({
  step: "a",
  name: "a",
  op: "StepRun",
  status: "completed",
  started_at: null,
  ended_at: null,
  output_bytes: 0,
  tries: [],
  ...more,
});
const drawn = (span: Span, second: number, live = true) =>
  barsOf(span, now(second), live).map((b) => `${b.kind} ${(b.from - zero) / 1000}-${(b.to - zero) / 1000}`);

test("the time in the queue is drawn, and is not time that the step took", () => {
  const span = step({ planned_at: at(1), ended_at: at(15), tries: [{ attempt: 1, started_at: at(13), ended_at: at(15) }] });
  expect(drawn(span, 20)).toEqual(["wait 1-13", "good 13-15"]);
  expect(spanTook(span, now(20))).toBe(2000);
  expect(spanWaited(span, now(20))).toBe(12_000);
});

test("what has not begun waits until now", () => {
  const span = step({ status: "planned", planned_at: at(1) });
  expect(drawn(span, 9)).toEqual(["wait 1-9"]);
  expect(spanTook(span, now(9))).toBeUndefined();
});

test("a try that is due and not at work waits", () => {
  const tries = [
    { attempt: 1, started_at: at(1), ended_at: at(2), next_at: at(5), problem: "no" },
    { attempt: 2, started_at: at(8), ended_at: at(9) },
  ];
  expect(drawn(step({ ended_at: at(9), tries }), 9)).toEqual(["bad 1-2", "pause 2-5", "wait 5-8", "good 8-9"]);
});

test("what is planned is drawn while the run goes on", () => {
  const nap = step({ op: "Sleep", status: "sleeping", started_at: at(1), until: at(100) });
  expect(drawn(nap, 5)).toEqual(["rest 1-5", "ahead 5-100"]);
  expect(spanTook(nap, now(5))).toBe(4000);
  expect(drawn({ ...nap, status: "cancelled" }, 5, false)).not.toContain("ahead 5-100");
  const failing = step({
    status: "retrying",
    tries: [{ attempt: 1, started_at: at(1), ended_at: at(2), next_at: at(50), problem: "no" }],
  });
  expect(drawn(failing, 5)).toEqual(["bad 1-2", "pause 2-5", "next 5-50"]);
});

test("steps are found by what became of them", () => {
  expect(sortOf(step({ status: "failed" }))).toEqual(["failed"]);
  expect(sortOf(step({ status: "retrying", tries: [{ attempt: 1, started_at: null, ended_at: null, problem: "no" }] }))).toEqual([
    "failed",
    "waiting",
  ]);
  expect(sortOf(step({ status: "sleeping" }))).toEqual(["waiting"]);
  expect(sortOf(step({}))).toEqual([]);
});

test("only a run that completed is said to have returned", () => {
  expect(withoutSteps("Completed").text).toContain("The function returned");
  for (const [status, word] of [
    ["Failed", "failed"],
    ["Cancelled", "cancelled"],
    ["Skipped", "skipped"],
  ] as const) {
    expect(withoutSteps(status).text).toContain(word);
    expect(withoutSteps(status).text).not.toContain("returned");
  }
});
