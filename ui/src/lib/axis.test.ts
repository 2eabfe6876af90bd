import { expect, test } from "vitest";
import { axisOf, place, restTexts, ticks, tickTexts } from "./axis";

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

test("the longer of two rests looks longer, and what is planned has room", () => {
  const [minutes, month] = [18 * 60_000, 30 * 86_400_000];
  const width = (rest: number, now?: number) => {
    const axis = axisOf([[0, 1100]], 0, 1100 + rest, true, now);
    const piece = axis.pieces.find((p) => p.rest)!;
    return { of: piece.x1 - piece.x0, ahead: piece.ahead };
  };
  expect(width(month).of).toBeGreaterThan(1.5 * width(minutes).of);
  expect(width(month, 1100)).toEqual({ of: expect.closeTo(2 * width(month).of), ahead: true });
});

test("what was rested and what is planned meet at now", () => {
  const hour = 3_600_000;
  const axis = axisOf([[0, 1000]], 0, 10 * hour, true, 4 * hour);
  expect(axis.pieces.map((p) => [p.from, p.to, p.rest, p.ahead])).toEqual([
    [0, 1000, false, false],
    [1000, 4 * hour, true, false],
    [4 * hour, 10 * hour, true, true],
  ]);
  expect(axis.pieces.at(-1)!.x1).toBeCloseTo(1);
  expect(axisOf([], 0, 10 * hour, true, hour).pieces.at(-1)!.x1).toBeCloseTo(1);
});

test("a small axis has more than a zero", () => {
  expect(ticks(axisOf([[0, 1100]], 0, 30 * 86_400_000, true, 1100), 2)).toEqual([0, 1000]);
  expect(ticks(axisOf([[0, 7300]], 0, 7300, false), 1).length).toBeGreaterThan(1);
});

test("two ticks never say the same", () => {
  expect(tickTexts([0, 200, 1000, 1500, 60_000])).toEqual(["0", "200 ms", "1 s", "1.5 s", "1m"]);
  expect(tickTexts([0, 1225, 1230])).toEqual(["0", "1.225 s", "1.23 s"]);
  expect(tickTexts([61_002, 61_004])).toEqual(["61.002 s", "61.004 s"]);
});

test("ticks are as exact as the closest of them need", () => {
  expect(tickTexts([0, 10_000, 17_740, 17_760])).toEqual(["0", "10 s", "17.74 s", "17.76 s"]);
  expect(tickTexts([0, 12_340, 17_740])).toEqual(["0", "12.3 s", "17.7 s"]);
  expect(tickTexts([0, 60_000, 90_500, 91_000])).toEqual(["0", "60 s", "90.5 s", "91 s"]);
  expect(tickTexts([0, 5_400_000, 5_430_000])).toEqual(["0", "1h 30m", "1h 30m 30s"]);
  expect(tickTexts([0, 86_400_000, 86_460_000])).toEqual(["0", "1d", "1d 1m"]);
  expect(tickTexts([0, 30 * 86_400_000 + 123])).toEqual(["0", "30d"]);
  expect(tickTexts([0])).toEqual(["0"]);
});

test("how long a rest was has a unit, however little room there is", () => {
  expect([700, 8000, 59_960, 60_000, 5_400_000, 30 * 86_400_000 + 3_600_000].map(restTexts)).toEqual([
    ["700 ms", "700 ms"],
    ["8.00 s", "8 s"],
    ["60.0 s", "60 s"],
    ["1m", "1m"],
    ["1h 30m", "1h"],
    ["30d 1h", "30d"],
  ]);
});
