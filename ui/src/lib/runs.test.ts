import { expect, test, vi } from "vitest";
import type { Row } from "@/api/client";

vi.stubGlobal("matchMedia", () => ({ matches: true }));
const { detail } = await import("./runs");

const run = (more: Partial<Row>) => detail({ event_name: "order/placed", ...more } as Row);

test("a row says where its run comes from", () => {
  expect(run({})).toBe("order/placed");
  expect(run({ data: { id: "o-1", n: 2, items: [1, 2], to: { a: 1 }, _inngest: {}, none: null } })).toBe(
    "order/placed · id: o-1, n: 2, items: [2], to: {…}",
  );
  expect(run({ event_name: "inngest/function.invoked", parent_function: "shop-checkout", data: { n: 1 } })).toBe(
    "invoked by shop-checkout · n: 1",
  );
  expect(run({ event_name: "inngest/function.invoked", parent_run_id: "01J" })).toBe("invoked by another run"); // which is gone
  expect(run({ event_name: "inngest/function.invoked", data: { n: 1 } })).toBe("invoked directly · n: 1"); // with Invoke, or by the API
  expect(run({ event_name: "inngest/function.invoked", original_run_id: "01J" })).toBe("invoked");
  expect(run({ cron: "* * * * *", data: { cron: "* * * * *" } })).toBe("cron * * * * *");
  expect(run({ problem: "boom", data: { n: 1 } })).toBe("boom");
  expect(run({ data: JSON.parse('{"id":12345678901234567890,"n":9007199254740991}') })).toBe("order/placed · id: …, n: 9007199254740991");
  expect(run({ data: { text: "x".repeat(1000) } }).length).toBeLessThan(300);
});

test("no more is laid out than a line of the screen has room for", () => {
  const said = (length: number) => run({ problem: "x".repeat(length) } as Partial<Row>);
  expect(said(100)).toHaveLength(100);
  expect(said(100_000)).toMatch(/^x+…$/);
  expect(said(100_000).length).toBeLessThan(500);
  for (const before of ["", "x"]) expect(run({ problem: before + "😀".repeat(1000) } as Partial<Row>)).toMatch(/^x?(😀)+…$/u);
});
