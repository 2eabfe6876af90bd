import { lasted } from "./text";

// The time axis of a run. Long rests, in which nothing happens, can be shortened, so
// that a run of a minute that slept for a week can still be read.

type Piece = { from: number; to: number; x0: number; x1: number; rest: boolean; ahead: boolean };
export type Axis = { pieces: Piece[]; from: number; to: number; rests: boolean };

/** What a rest gets of the width: more when it was longer, so that a month does not look like minutes. */
const shareOf = (length: number, ahead: boolean) => 0.03 * (1 + Math.max(0, Math.log10(length / 1000))) * (ahead ? 2 : 1);
/** What all rests get at most. */
const mostShare = 0.6;

/**
 * busy: intervals in which something happened, in milliseconds. now: what comes after it,
 * up to to, is planned.
 */
export function axisOf(busy: [number, number][], from: number, to: number, shorten: boolean, now = to): Axis {
  const end = Math.max(to, from + 1);
  const whole: Piece = { from, to: end, x0: 0, x1: 1, rest: false, ahead: false };
  const here = Math.min(Math.max(now, from), end);
  const rests: { span: [number, number]; ahead: boolean }[] = restsOf(busy, from, here).map((span) => ({ span, ahead: false }));
  if (end - here > leastRest(from, end)) rests.push({ span: [here, end], ahead: true });
  if (!shorten || rests.length === 0) return { pieces: [whole], from, to: end, rests: rests.length > 0 };
  const pieces: Omit<Piece, "x0" | "x1">[] = [];
  let at = from;
  for (const {
    span: [a, b],
    ahead,
  } of rests) {
    if (a > at) pieces.push({ from: at, to: a, rest: false, ahead: false });
    pieces.push({ from: a, to: b, rest: true, ahead });
    at = b;
  }
  if (end > at) pieces.push({ from: at, to: end, rest: false, ahead: false });
  const wanted = pieces.map((p) => (p.rest ? shareOf(p.to - p.from, p.ahead) : 0));
  const sum = wanted.reduce((a, b) => a + b, 0);
  const scale = Math.min(1, mostShare / sum);
  const busyTime = pieces.reduce((all, p) => all + (p.rest ? 0 : p.to - p.from), 0);
  // Where nothing happened but rests, they have it all.
  const room = busyTime > 0 ? 1 - sum * scale : 0;
  let x = 0;
  const placed = pieces.map((p, i) => {
    const x0 = x;
    x += p.rest ? (busyTime > 0 ? wanted[i]! * scale : wanted[i]! / sum) : (room * (p.to - p.from)) / busyTime;
    return { ...p, x0, x1: x };
  });
  return { pieces: placed, from, to: end, rests: true };
}

const leastRest = (from: number, to: number) => Math.max(1000, (to - from) * 0.1);

/** The stretches of more than a tenth of the time, and at least a second, in which nothing happened. */
function restsOf(busy: [number, number][], from: number, to: number): [number, number][] {
  const least = leastRest(from, to);
  const list: [number, number][] = [];
  let at = from;
  for (const [a, b] of [...busy].sort((p, q) => p[0] - q[0])) {
    if (a - at > least) list.push([at, a]);
    at = Math.max(at, b);
  }
  if (to - at > least) list.push([at, to]);
  return list.length > 12
    ? list
        .sort((p, q) => q[1] - q[0] - (p[1] - p[0]))
        .slice(0, 12)
        .sort((p, q) => p[0] - q[0])
    : list;
}

/** Where a time stands, from 0 to 1. */
export function place(axis: Axis, time: number): number {
  const t = Math.min(Math.max(time, axis.from), axis.to);
  const piece = axis.pieces.find((p) => t <= p.to) ?? axis.pieces.at(-1)!;
  return piece.x0 + ((t - piece.from) / Math.max(1, piece.to - piece.from)) * (piece.x1 - piece.x0);
}

const steps = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000,
  7_200_000, 21_600_000, 43_200_000, 86_400_000,
];

/** Round times after the beginning, about as many as there is room for; two at least, when time went by. */
export function ticks(axis: Axis, most: number): number[] {
  const list: number[] = [];
  const busy = axis.pieces.filter((p) => !p.rest);
  for (const p of busy) {
    const n = Math.max(1, Math.floor(most * (p.x1 - p.x0)));
    const span = p.to - p.from;
    const step = steps.find((s) => span / s <= n) ?? Math.ceil(span / n / 86_400_000) * 86_400_000;
    for (let t = Math.ceil((p.from - axis.from) / step) * step; t <= p.to - axis.from; t += step) {
      const x = place(axis, axis.from + t);
      if (list.length === 0 || x - place(axis, axis.from + list.at(-1)!) > 0.5 / most) list.push(t);
    }
  }
  // One number says nothing of how long it was: the last round time that fits does.
  const widest = busy.reduce<Piece | undefined>((a, b) => (a && a.x1 - a.x0 >= b.x1 - b.x0 ? a : b), undefined);
  if (list.length < 2 && widest) {
    const [from, to] = [widest.from - axis.from, widest.to - axis.from];
    const step = steps.findLast((s) => Math.floor(to / s) * s > from);
    const t = step && Math.floor(to / step) * step;
    if (t && !list.includes(t)) list.push(t);
  }
  return list.sort((a, b) => a - b);
}

/** A round time, without zeros that say nothing. */
export const tickText = (t: number) =>
  t === 0
    ? "0"
    : lasted(t)
        .replace(/\.0+ s$/, " s")
        .replace(/(\.\d)0 s$/, "$1 s");

const [second, minute, hour, day] = [1000, 60_000, 3_600_000, 86_400_000];

/** To what tickText rounds a time. */
const unitOf = (t: number) => (t < second ? 1 : t < 10 * second ? 10 : t < minute ? 100 : t < hour ? second : t < day ? minute : hour);

/** A time that is not rounded, as lasted writes those that are. */
const wholeText = (t: number) =>
  [
    [Math.floor(t / day), "d"],
    [Math.floor((t % day) / hour), "h"],
    [Math.floor((t % hour) / minute), "m"],
    [(t % minute) / second, "s"],
  ]
    .filter(([n]) => n !== 0)
    .map((part) => part.join(""))
    .join(" ");

const secondsText = (t: number) => `${Number((t / second).toFixed(3))} s`;

/** What stands at ticks: those of one axis are told as exactly as it takes to tell how far apart the closest are. */
export function tickTexts(ticks: number[]): string[] {
  const gap = Math.min(...ticks.slice(1).map((t, i) => t - ticks[i]!));
  const isRounded = (t: number) => t % unitOf(t) !== 0 && unitOf(t) > gap / 10;
  // Parts of a second are written with seconds alone, and then all that is beside them.
  const fine = ticks.some((t) => t >= minute && t % second !== 0 && isRounded(t));
  return ticks.map((t) => {
    if (t >= minute ? fine : isRounded(t)) return secondsText(t);
    return isRounded(t) ? wholeText(t) : tickText(t);
  });
}

/** How long a rest was, and the same in less room. */
export function restTexts(length: number): [string, string] {
  const long = lasted(length);
  return [long, length < second || length >= minute ? long.replace(/(\d[dhm]) .*/, "$1") : `${Math.round(length / second)} s`];
}
