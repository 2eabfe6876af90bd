import { describe, expect, test } from "vitest";
import type { Row, Schemas } from "./client";
import { belongs, patch, withHead } from "./lists";
import { merge } from "./queries";

const row = (n: number, more: Partial<Row> = {}): Row => ({
  run_id: `run-${n}`,
  function: "shop-pay",
  app: "shop",
  status: "Running",
  event_id: "e",
  event_name: "order/placed",
  queued_at: new Date(1_000_000 + n * 1000).toISOString(),
  started_at: null,
  ended_at: null,
  ...more,
});
const changed = (r: Row): Schemas["Changed"] => ({ ...r, seq: 1 });
const list = (cursor: string, ...rows: Row[]) => ({ pages: [{ runs: rows, cursor, searched_to: null }], pageParams: [""] });
const ids = (pages: { pages: { runs: Row[] }[] }) => pages.pages.flatMap((p) => p.runs.map((r) => r.run_id));

describe("a list that is patched", () => {
  test("shows a run as it has become, in its place", () => {
    const { next } = patch(list("", row(2), row(1)), [changed(row(1, { status: "Failed" }))], {});
    expect(ids(next)).toEqual(["run-2", "run-1"]);
    expect(next.pages[0]!.runs[1]!.status).toBe("Failed");
  });

  test("keeps where a run comes from", () => {
    const { next } = patch(list("", row(1, { data: { n: 1 }, parent_function: "shop-parent" })), [changed(row(1))], {});
    expect(next.pages[0]!.runs[0]).toMatchObject({ data: { n: 1 }, parent_function: "shop-parent" });
  });

  test("gets new runs at its head, the newest first", () => {
    expect(ids(patch(list("", row(2)), [changed(row(3)), changed(row(4))], {}).next)).toEqual(["run-4", "run-3", "run-2"]);
  });

  test("loses what does not belong to it any more", () => {
    expect(ids(patch(list("", row(2), row(1)), [changed(row(2, { status: "Completed" }))], { status: ["Running"] }).next)).toEqual([
      "run-1",
    ]);
  });

  test("stays the same object when nothing of it has changed", () => {
    const pages = list("", row(2));
    expect(patch(pages, [changed(row(3, { status: "Failed" }))], { status: ["Running"] }).next).toBe(pages);
  });

  test("leaves what is older than it reaches to a later page", () => {
    expect(ids(patch(list("more", row(5), row(4)), [changed(row(1))], {}).next)).toEqual(["run-5", "run-4"]);
    expect(ids(patch(list("", row(5), row(4)), [changed(row(1))], {}).next)).toEqual(["run-5", "run-4", "run-1"]);
  });

  test("asks the server when only that can say", () => {
    const { next, unsure } = patch(list("", row(2)), [changed(row(3, { status: "Failed" }))], { error: "declined" });
    expect(unsure).toBe(true);
    expect(ids(next)).toEqual(["run-2"]);
  });

  test("asks the server where new runs come from", () => {
    expect(patch(list("", row(2)), [changed(row(3))], {}).unsure).toBe(true);
    expect(patch(list("", row(2)), [changed(row(3, { cron: "* * * * *" }))], {}).unsure).toBe(false);
    expect(patch(list("", row(2)), [changed(row(2))], {}).unsure).toBe(false);
  });

  test("is joined to a new head, and begins anew when there is a gap", () => {
    const known = list("more", row(3), row(2), row(1));
    expect(ids(withHead(known, { runs: [row(5), row(4), row(3)], cursor: "c", searched_to: null }, true))).toEqual([
      "run-5",
      "run-4",
      "run-3",
      "run-2",
      "run-1",
    ]);
    expect(withHead(known, { runs: [row(5), row(4), row(3)], cursor: "c", searched_to: null }, true).pages[0]!.cursor).toBe("more");
    const page = Array.from({ length: 100 }, (_, i) => row(200 - i));
    expect(withHead(known, { runs: page, cursor: "c", searched_to: null }, true).pages[0]!.runs).toEqual(page);
  });

  test("goes on after the last row that it has", () => {
    const head = { runs: Array.from({ length: 100 }, (_, i) => row(240 - i)), cursor: "after 141", searched_to: null };
    expect(withHead(list("after 201", ...head.runs.slice(0, 40)), head, true).pages[0]!.cursor).toBe("after 141");
  });

  test("keeps what was found further back", () => {
    const found = { pages: [{ runs: [], cursor: "a", searched_to: null }, ...list("b", row(1)).pages], pageParams: ["", "a"] };
    const head = { runs: [], cursor: "c", searched_to: new Date(1_000_000 + 50_000).toISOString() };
    expect(ids(withHead(found, head, true))).toEqual(["run-1"]);
    expect(ids(withHead(found, { ...head, runs: [row(60)] }, true))).toEqual(["run-60", "run-1"]);
  });

  test("is cut, when it has become long, only for who sees its head", () => {
    const rows = Array.from({ length: 2300 }, (_, i) => row(3000 - i));
    const head = { runs: [row(3001), ...rows.slice(0, 99)], cursor: "c", searched_to: null };
    expect(withHead(list("more", ...rows), head, false).pages[0]!.runs).toHaveLength(2301);
    expect(withHead(list("more", ...rows), head, true).pages[0]!.runs).toHaveLength(100);
    const { next, unsure } = patch(list("more", ...rows), [changed(row(3001)), changed(row(900, { status: "Failed" }))], {});
    expect(unsure).toBe(true);
    expect(next.pages[0]!.runs.find((r) => r.run_id === "run-900")!.status).toBe("Failed");
  });

  test("does not go back in time", () => {
    const ended = row(1, { status: "Completed", ended_at: row(2).queued_at });
    expect(patch(list("", ended), [changed(row(1))], {}).next.pages[0]!.runs).toEqual([ended]);
    const later = patch(list("", row(1)), [{ ...row(1), seq: 5, problem: "b" }], {}).next;
    expect(patch(later, [{ ...row(1), seq: 4, problem: "a" }], {}).next.pages[0]!.runs[0]!.problem).toBe("b");
  });
});

test.each<[Parameters<typeof belongs>[1], boolean | undefined]>([
  [{}, true],
  [{ status: ["running"] }, true],
  [{ status: ["failed"] }, false],
  [{ function: ["other"], app: ["shop"] }, true],
  [{ function: ["other"] }, false],
  [{ event: "order/*" }, true],
  [{ event: "order" }, false],
  [{ from: "1970-01-02T00:00:00Z" }, false],
  [{ until: "1970-01-01T00:00:00Z" }, false],
  [{ data: ["a=1"] }, undefined],
  [{ error: "x" }, false],
])("whether a run belongs to %j", (search, want) => {
  expect(belongs(row(1), search)).toBe(want);
});

test("a trace is the one before with what has changed", () => {
  const span = (step: string, status: string) =>
    ({ step, status, name: step, op: "StepRun", tries: [], output_bytes: 0, started_at: null, ended_at: null }) as Schemas["Span"];
  const known = { run: row(1), seq: 2, total: 2, steps: [span("a", "completed"), span("b", "planned")] };
  const merged = merge(known, {
    run: row(1, { status: "Completed" }),
    seq: 4,
    total: 3,
    steps: [span("b", "completed"), span("c", "completed")],
  });
  expect(merged.steps.map((s) => `${s.step} ${s.status}`)).toEqual(["a completed", "b completed", "c completed"]);
  expect(merged.run.status).toBe("Completed");
  expect(merged.seq).toBe(4);
});
