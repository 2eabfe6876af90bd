import { expect, test } from "vitest";
import { counts, times } from "./scale";

test("each value at an axis of times has a short text of its own", () => {
  for (const step of times.steps) {
    const texts = [0, 1, 2, 3, 4].map((n) => times.text(n * step));
    expect(new Set(texts).size, texts.join()).toBe(5);
    for (const text of texts) expect(text.length, text).toBeLessThanOrEqual(8);
  }
  expect([0, 1, 2].map(times.text)).toEqual(["0", "1 ms", "2 ms"]);
  expect(times.text(15_000)).toBe("15 s");
});

test("steps go up", () => {
  for (const { steps } of [counts, times]) expect([...steps].sort((a, b) => a - b)).toEqual(steps);
});
