import { describe, expect, test } from "vitest";
import { hintsAt, nameIn } from "./hints";

const fields = [
  { path: "id", types: ["string"], seen: 2 },
  { path: "customer", types: ["null", "object"], seen: 2 },
  { path: "customer.name", types: ["string"], seen: 1 },
  { path: "items", types: ["array"], seen: 1 },
  { path: "items[].sku", types: ["number", "string"], seen: 1 },
];

describe("hints", () => {
  test.each([
    [[], ["id", "customer", "items"]],
    [["customer"], ["name"]],
    [["items", "[]"], ["sku"]],
    [["items"], []],
    [["other"], []],
  ] as [string[], string[]][])("at %j", (path, labels) => {
    expect(hintsAt(fields, path).map((h) => h.label)).toEqual(labels);
  });

  test("say the types, and begin a value of the first", () => {
    expect(hintsAt(fields, [])[1]).toEqual({ label: "customer", detail: "null or object", empty: "{}" });
  });

  test("the name of an event is found in what is written of it", () => {
    expect(nameIn('{ "name": "order/placed", "data": {')).toBe("order/placed");
    expect(nameIn("{}")).toBeUndefined();
  });
});
