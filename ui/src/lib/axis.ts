// The time axis of a run. Long rests, in which nothing happens, can be shortened, so
// that a run of a minute that slept for a week can still be read.

type Piece = { from: number; to: number; x0: number; x1: number; rest: boolean };
export type Axis = { pieces: Piece[]; from: number; to: number; rests: boolean };

const restShare = 0.07;

/** busy: intervals in which something happened, in milliseconds. */
export function axisOf(busy: [number, number][], from: number, to: number, shorten: boolean): Axis {
  const end = Math.max(to, from + 1);
  const whole: Piece = { from, to: end, x0: 0, x1: 1, rest: false };
  const rests = restsOf(busy, from, end);
  if (!shorten || rests.length === 0) return { pieces: [whole], from, to: end, rests: rests.length > 0 };
  const pieces: Omit<Piece, "x0" | "x1">[] = [];
  let at = from;
  for (const [a, b] of rests) {
    if (a > at) pieces.push({ from: at, to: a, rest: false });
    pieces.push({ from: a, to: b, rest: true });
    at = b;
  }
  if (end > at) pieces.push({ from: at, to: end, rest: false });
  const share = Math.min(restShare, 0.6 / rests.length);
  const busyTime = Math.max(
    1,
    pieces.reduce((sum, p) => sum + (p.rest ? 0 : p.to - p.from), 0),
  );
  const room = 1 - share * rests.length;
  let x = 0;
  const placed = pieces.map((p) => {
    const x0 = x;
    x += p.rest ? share : (room * (p.to - p.from)) / busyTime;
    return { ...p, x0, x1: x };
  });
  return { pieces: placed, from, to: end, rests: true };
}

/** The stretches of more than a tenth of the time, and at least a second, in which nothing happened. */
function restsOf(busy: [number, number][], from: number, to: number): [number, number][] {
  const least = Math.max(1000, (to - from) * 0.1);
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

/** Round times after the beginning, about as many as there is room for. */
export function ticks(axis: Axis, most: number): number[] {
  const list: number[] = [];
  for (const p of axis.pieces) {
    if (p.rest) continue;
    const n = Math.max(1, Math.floor(most * (p.x1 - p.x0)));
    const span = p.to - p.from;
    const step = steps.find((s) => span / s <= n) ?? Math.ceil(span / n / 86_400_000) * 86_400_000;
    for (let t = Math.ceil((p.from - axis.from) / step) * step; t <= p.to - axis.from; t += step) {
      const x = place(axis, axis.from + t);
      if (list.length === 0 || x - place(axis, axis.from + list.at(-1)!) > 0.5 / most) list.push(t);
    }
  }
  return list;
}
