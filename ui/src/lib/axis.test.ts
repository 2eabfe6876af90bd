import { expect, test } from "vitest";
import { axisOf, place, ticks } from "./axis";

test("times are where they belong", () => {
  const axis = axisOf([[0, 1000]], 0, 1000, false);
  expect([0, 250, 1000, 2000, -5].map((t) => place(axis, t))).toEqual([0, 0.25, 1, 1, 0]);
});

test("a long rest is shortened, and what is around it is not", () => {
  const day = 86_400_000;
  const busy: [number, number][] = [
    [0, 1000],
    [day, day + 1000],
  ];
  const axis = axisOf(busy, 0, day + 1000, true);
  expect(axis.rests).toBe(true);
  expect(axis.pieces.map((p) => p.rest)).toEqual([false, true, false]);
  expect(place(axis, 1000)).toBeGreaterThan(0.4);
  expect(place(axis, day + 500) - place(axis, day)).toBeCloseTo(place(axis, 500));
  expect(place(axis, day + 1000)).toBeCloseTo(1);
  // Later is never to the left.
  let last = 0;
  for (let t = 0; t <= day + 1000; t += day / 97) {
    expect(place(axis, t)).toBeGreaterThanOrEqual(last);
    last = place(axis, t);
  }
});

test("there are never more than a dozen rests", () => {
  const busy = Array.from({ length: 60 }, (_, i): [number, number] => [i * 100_000, i * 100_000 + 1]);
  expect(axisOf(busy, 0, 700_000, true).pieces.filter((p) => p.rest).length).toBeLessThanOrEqual(12);
});

test("ticks are round and keep apart", () => {
  const axis = axisOf([[0, 7300]], 0, 7300, false);
  expect(ticks(axis, 8)).toEqual([0, 1000, 2000, 3000, 4000, 5000, 6000, 7000]);
  expect(ticks(axisOf([], 5, 5, false), 8)).toEqual([0, 1]);
});
