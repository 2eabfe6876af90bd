import { expect, test } from "vitest";
import { meaning, type Prefix } from "./keys";

const commands = ["g r", "g d", "r", "j", "Escape"].map((keys) => ({ keys }));

/** What keys do that come one after the other; each with how long after the one before, in milliseconds. */
function typed(...keys: [key: string, after: number][]) {
  let prefix: Prefix = { key: "", at: 0 };
  let now = 1_000_000;
  return keys.map(([key, after]) => {
    now += after;
    const found = meaning(commands, key, prefix, now);
    prefix = found.prefix;
    return found.command?.keys;
  });
}

test("a sequence is typed as slowly as people type, and its end does nothing else", () => {
  expect(typed(["g", 0], ["r", 100])).toEqual([undefined, "g r"]);
  expect(typed(["g", 0], ["r", 2500])).toEqual([undefined, "g r"]);
  expect(typed(["g", 0], ["g", 100], ["r", 100]), "it is begun again").toEqual([undefined, undefined, "g r"]);
  expect(typed(["g", 0], ["x", 100], ["r", 100]), "it is no sequence, and over").toEqual([undefined, undefined, "r"]);
  expect(typed(["g", 0], ["j", 100]), "it is mistyped").toEqual([undefined, undefined]);
  expect(typed(["g", 0], ["Escape", 100], ["r", 100])).toEqual([undefined, undefined, "r"]);
  expect(typed(["g", 0], ["r", 10_000]), "it was forgotten").toEqual([undefined, "r"]);
});

test("keys that begin nothing do not wait", () => {
  expect(typed(["j", 0], ["j", 10], ["r", 10], ["r", 10], ["Escape", 10])).toEqual(["j", "j", "r", "r", "Escape"]);
  expect(typed(["g", 0], ["r", 10], ["r", 10]), "a sequence that has ended").toEqual([undefined, "g r", "r"]);
});
