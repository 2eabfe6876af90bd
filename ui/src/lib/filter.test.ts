import { describe, expect, test } from "vitest";
import { complete, parse, toggle, without, words } from "./filter";

const now = Date.parse("2026-03-04T12:34:56Z");

describe("a filter", () => {
  test("has words, and quotation marks keep spaces in them", () => {
    expect(words('status:failed  error:"timed out"').map((w) => w.text)).toEqual(["status:failed", 'error:"timed out"']);
  });

  test("asks for what it says", () => {
    const { search, problems } = parse(
      'status:failed status:RUNNING function:a app:shop event:order/* data.customer.id=c-1 data.n!=2 error:"timed out" after:2h id:E',
      now,
    );
    expect(problems).toEqual([]);
    expect(search).toEqual({
      status: ["Failed", "Running"],
      function: ["a"],
      app: ["shop"],
      event: "order/*",
      data: ["customer.id=c-1", "n!=2"],
      error: "timed out",
      from: "2026-03-04T10:34:00.000Z",
      event_id: "E",
    });
  });

  test("looks for bare words in errors", () => {
    expect(parse("card declined").search).toEqual({ error: "card declined" });
  });

  test.each([
    ["statsu:failed", "there is no statsu: here"],
    ["status:happy", "there is no status happy"],
    ["status:", "status: needs a value"],
    ["after:soon", "after: write a time"],
    ["after:999999999d", "after: write a time"],
    ["before:99999999999999999999w", "before: write a time"],
    ["after:2026-01-02T99", "after: write a time"],
    ["data.x", "write data.path=value"],
    ["event:a event:b", "can be given once"],
  ])("says what is wrong with %s", (text, problem) => {
    expect(parse(text).problems.join()).toContain(problem);
  });

  test("takes a word in and out", () => {
    expect(toggle("app:shop", "status", "failed")).toBe("app:shop status:failed");
    expect(toggle("app:shop status:failed", "status", "failed")).toBe("app:shop");
    expect(without("status:failed app:shop status:queued", "status")).toBe("app:shop");
  });
});

describe("completion", () => {
  const known = { functions: ["shop-pay", "shop-ship"], apps: ["shop"], events: ["order/placed"] };
  const options = (text: string, cursor = text.length) => complete(text, cursor, known).options.map((o) => o.text);

  test("knows the keys", () => {
    expect(options("st")).toEqual(["status:"]);
    expect(options("")).toContain("function:");
    expect(options("status:failed ")).toContain("data.");
  });

  test("knows the values", () => {
    expect(options("status:fa")).toEqual(["status:failed"]);
    expect(options("function:shi")).toEqual(["function:shop-ship"]);
    expect(options("event:")).toEqual(["event:order/placed"]);
    expect(options("status:failed")).toEqual([]);
  });

  test("knows what is in the data of events", () => {
    const fields = [
      { path: "customer", types: ["object"] },
      { path: "customer.id", types: ["string"] },
      { path: "items[].sku", types: ["string"] },
    ];
    const found = (text: string) => complete(text, text.length, { ...known, fields }).options.map((o) => o.text);
    expect(found("data.")).toEqual(["data.customer.", "data.customer.id="]);
    expect(found("data.customer.")).toEqual(["data.customer.id="]);
    expect(found("data.customer.id=")).toEqual([]);
  });

  test("is about the word at the cursor", () => {
    expect(complete("status:fa app:shop", 9, known)).toMatchObject({ from: 0, to: 9 });
  });
});
