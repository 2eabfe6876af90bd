import { expect, test } from "vitest";
import { failureOf, parseExact, write } from "./json";
import { ago, bytes, lasted, shown } from "./text";

test("how long something lasted", () => {
  expect([-5, 0.4, 12, 1234, 12_345, 60_000, 61_000, 3_600_000, 5_400_000, 86_400_000, 90_000_000].map(lasted)).toEqual([
    "0 ms",
    "<1 ms",
    "12 ms",
    "1.23 s",
    "12.3 s",
    "1m",
    "1m 1s",
    "1h",
    "1h 30m",
    "1d",
    "1d 1h",
  ]);
});

test("how long ago, and how long until", () => {
  const now = Date.parse("2026-01-01T12:00:00Z");
  expect(["2026-01-01T12:00:00Z", "2026-01-01T11:59:30Z", "2026-01-01T11:00:00Z", "2026-01-03T12:00:00Z"].map((t) => ago(t, now))).toEqual([
    "now",
    "30 s ago",
    "1 h ago",
    "in 2 d",
  ]);
});

test("bytes", () => {
  expect([5, 2048, 5_000_000].map(bytes)).toEqual(["5 B", "2.0 KiB", "4.8 MiB"]);
});

test("what is invisible, or turns text around, is shown", () => {
  expect(shown("\u001b[31mred\u001b[0m a\u202egnp\u0000\n\tb")).toBe("red a\ufffdgnp\ufffd\n\tb");
});

test("numbers stay as they were written", () => {
  const text = '{"big":12345678901234567890,"exact":1.10,"small":7}';
  expect(write(parseExact(text), 0)).toBe(text);
});

test("errors of every form are understood", () => {
  expect(failureOf({ name: "E", message: "m", stack: "s", cause: { message: "why" } })).toMatchObject({
    name: "E",
    message: "m",
    stack: "s",
    cause: { message: "why" },
  });
  expect(failureOf("text")).toMatchObject({ message: "text" });
  expect(failureOf({ error: { name: "X", message: "in" } })).toMatchObject({ name: "X", message: "in" });
  expect(failureOf({ odd: 1 })?.message).toContain("odd");
  expect(failureOf(null)).toBeUndefined();
  const round: Record<string, unknown> = { message: "a" };
  round.cause = round;
  expect(failureOf(round)?.message).toBe("a");
});
