import { count, lasted } from "./text";

// What stands at the axes of charts: few, round values.

export type Scale = {
  /** The distances between two values at an axis, the smallest first. */
  steps: number[];
  /** The least value that there is room for. */
  least: number;
  text: (value: number) => string;
};

const decades = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => [1, 2, 5].map((n) => n * 10 ** (from + i))).flat();

/** Whole numbers. */
export const counts: Scale = { steps: decades(0, 9), least: 1, text: count };

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

/** Times, in milliseconds. */
export const times: Scale = {
  steps: [
    ...decades(0, 2),
    ...[1, 2, 5, 10, 15, 30].map((n) => n * second),
    ...[1, 2, 5, 10, 15, 30].map((n) => n * minute),
    ...[1, 2, 3, 6, 12].map((n) => n * hour),
    ...decades(0, 3).map((n) => n * day),
  ],
  least: 2,
  text: (ms) => (ms === 0 ? "0" : ms >= second && ms < minute ? `${ms / second} s` : lasted(ms)),
};
