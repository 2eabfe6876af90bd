import { expect, test } from "vitest";
import { type Control, effectOf, pausesOf } from "./paused";

const control = (more: Partial<Control>): Control => ({
  name: "shop-pay",
  paused: "starts",
  since: "2026-01-01T00:00:00Z",
  by: "Ada",
  ...more,
});

test("the pause of a function, of its app and of values of its keys are told apart", () => {
  const whole = control({ limits: { concurrency: 2 } });
  const old = control({ key: "event.data.customer", value: "c1" });
  const young = control({ key: "event.data.customer", value: "c2", since: "2026-01-02T00:00:00Z" });
  const empty = control({ key: "event.data.customer", since: "2025-01-01T00:00:00Z" }); // of the value ""
  const app = control({ name: "app/shop" });
  const others = [control({ name: "shop-pay-slow" }), control({ name: "app/shop-pay" })];
  const all = [...others, app, whole, old, young, empty];
  expect(pausesOf(all, "shop-pay", "shop")).toEqual({ app, whole, values: [young, old, empty] });
  expect(pausesOf([old], "shop-pay", "shop")).toEqual({ app: undefined, whole: undefined, values: [old] });
  expect(pausesOf([control({ paused: undefined, limits: {} })], "shop-pay")).toEqual({ app: undefined, whole: undefined, values: [] });
});

test("a pause says what becomes of runs", () => {
  expect(effectOf(control({}))).toBe("What has begun goes on; what has not is kept and waits.");
  expect(effectOf(control({ refuse: true }))).toBe("What has begun goes on; what would start is skipped.");
  expect(effectOf(control({ paused: "all", refuse: true }))).toBe("No request is made; what would start is skipped.");
});
