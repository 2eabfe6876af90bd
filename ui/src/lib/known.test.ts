import { expect, test } from "vitest";
import { knownFrom, unknownOf } from "./known";

const end = "2026-01-02T11:00:00Z";

test("what is known of the last hour", () => {
  expect(knownFrom({ end, since: "2026-01-02T10:00:00Z" })).toBeUndefined();
  expect(unknownOf({ end, since: "2026-01-02T10:00:00Z" }, 60)).toBe(0);
  expect(knownFrom({ end, since: "2026-01-02T10:52:00Z" })).toBe(Date.parse("2026-01-02T10:52:00Z"));
  expect(unknownOf({ end, since: "2026-01-02T10:52:00Z" }, 60)).toBe(52);
  expect(unknownOf({ end, since: "2026-01-02T10:59:58Z" }, 60), "what happens just now is shown").toBe(59);
});
