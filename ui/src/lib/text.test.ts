import { expect, test } from "vitest";
import { failureOf, parseExact, write } from "./json";
import { ago, bytes, count, cutTimes, halves, lasted, shown, until, wall, zone } from "./text";

test("numbers in groups of three digits", () => {
  for (const n of [0, 7, 999, 1000, 12_345, 1_000_000, 123_456_789]) expect(count(n)).toBe(n.toLocaleString("en"));
});

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

test("a time is as the reader's clock shows it, with a countdown", () => {
  const at = (hours: number) => new Date(2026, 4, 4, hours, 5, 6).toISOString();
  const now = new Date(2026, 4, 4, 12, 0, 0).getTime();
  expect([at(13), at(37), new Date(2027, 0, 2, 3, 4, 5).toISOString()].map((t) => wall(t, now))).toEqual([
    "13:05:06",
    "05-05 13:05:06",
    "2027-01-02 03:04:05",
  ]);
  expect([at(14), at(38), at(11), new Date(now + 20_000).toISOString()].map((t) => until(t, now))).toEqual([
    "in 2h 5m",
    "in 1d 2h",
    "now",
    "in 20 s",
  ]);
  expect(zone(now)).toMatch(/^UTC([+\u2212]\d+(:\d\d)?)?$/);
});

test("the times of a sentence are found where they are, and nowhere else", () => {
  const [a, b] = ["2026-03-01T12:00:00Z", "2026-03-02T12:00:00Z"];
  expect(cutTimes(`It is so since ${a}, until ${b} (${a}).`, [a, b])).toEqual([
    { text: "It is so since " },
    { text: a, at: a },
    { text: ", until " },
    { text: b, at: b },
    { text: ` (${a}).` },
  ]);
  expect(cutTimes("no time", [a])).toEqual([{ text: "no time" }]);
});

test("a long name keeps its end", () => {
  expect(halves("send mail to the customer number 17")).toEqual(["send mail to the customer num", "ber 17"]);
  expect(halves("charge card")).toEqual(["charge card", ""]);
  const family = "\u{1f469}\u200d\u{1f469}\u200d\u{1f467}";
  expect(halves(`welcome the ${family} of 1234`)).toEqual([`welcome the ${family} o`, "f 1234"]);
  expect(halves(`welcome the ${family.repeat(8)}`)).toEqual([`welcome the ${family.repeat(2)}`, family.repeat(6)]);
  for (const name of ["שלח קבלה ללקוח מספר שבע עשרה", "إرسال الإيصال إلى العميل", "send a receipt to לקוח number 17"])
    expect(halves(name)).toEqual([name, ""]);
});

test("bytes", () => {
  expect([5, 2048, 5_000_000].map(bytes)).toEqual(["5 B", "2.0 KiB", "4.8 MiB"]);
});

test("what is invisible, or turns text around, is shown", () => {
  expect(shown("\u001b[31mred\u001b[0m a\u202egnp\u0000\n\tb")).toBe("\ufffd[31mred\ufffd[0m a\ufffdgnp\ufffd\n\tb");
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
