import { expect, test } from "vitest";
import type { Span } from "@/api/client";
import { failingOf } from "./trace";

const at = (s: number) => new Date(Date.UTC(2026, 0, 1, 12, 0, s)).toISOString();
const step = (name: string, status: string, ends: number[], more: Partial<Span> = {}): Span => ({
  step: name,
  name,
  op: "StepRun",
  status,
  started_at: null,
  ended_at: null,
  output_bytes: 0,
  tries: ends.map((s, i) => ({ attempt: i + 1, started_at: null, ended_at: at(s), next_at: at(s + 10), problem: "Error: no" })),
  ...more,
});
const names = (steps: Span[]) => failingOf(steps).map((s) => s.name);

test("what is tried again is failing, the newest first", () => {
  expect(names([step("a", "retrying", [1, 5]), step("b", "completed", [2]), step("c", "unreachable", [9])])).toEqual(["c", "a"]);
  expect(names([step("a", "failed", [1]), step("b", "left", [2])])).toEqual([]);
});

test("a body that has got further since is not failing", () => {
  expect(names([step("step", "retrying", [5]), step("a", "completed", [3])])).toEqual(["step"]);
  expect(names([step("step", "retrying", [5]), step("a", "completed", [], { ended_at: at(16) })])).toEqual([]);
});
