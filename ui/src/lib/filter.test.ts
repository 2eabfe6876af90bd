import { describe, expect, test } from "vitest";
import { complete, filterFor, parse, quoted, toggle, without, words } from "./filter";

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
    ["TypeError: not fixed: customer c1", { error: "TypeError: not fixed: customer c1" }],
    ["Error: card declined", { error: "Error: card declined" }],
    ["error: card declined", { error: "card declined" }],
    ["Status: 500 status:failed", { error: "Status: 500", status: ["Failed"] }],
    ["dial 10.0.0.1:80: refused", { error: "dial 10.0.0.1:80: refused" }],
    ["https://a.example/x is away", { error: "https://a.example/x is away" }],
    ['"error: no money"', { error: "error: no money" }],
    ["Timeout:", { error: "Timeout:" }],
  ])("takes what begins with no key as text of an error: %s", (text, search) => {
    expect(parse(text)).toEqual({ search, problems: [] });
  });

  test("knows its keys in any letter case", () => {
    expect(parse("Status:failed FUNCTION:Pay Data.Id=X Error:no", now)).toEqual({
      search: { status: ["Failed"], function: ["Pay"], data: ["Id=X"], error: "no" },
      problems: [],
    });
  });

  test.each([
    ["data.quote", 'data.quote="say \\"hi\\""', { data: ['quote=say "hi"'] }],
    ["a name with a space", 'data.customer."full name"~ann', { data: ["customer.full name~ann"] }],
    ["two words", 'error:"\\"a b\\" c" status:failed', { error: '"a b" c', status: ["Failed"] }],
    ["a backslash at the end", 'error:"C:\\temp dir\\" status:failed', { error: "C:\\temp dir\\", status: ["Failed"] }],
    ["backslashes elsewhere", 'error:"C:\\new dir" event:a\\b', { error: "C:\\new dir", event: "a\\b" }],
    ["a mark that is not closed", 'error:"timed out', { error: "timed out" }],
    ["marks in the middle", 'error:a"b c"d', { error: "ab cd" }],
  ])("reads quotation marks: %s", (_, text, search) => {
    expect(parse(text)).toEqual({ search, problems: [] });
  });

  test("any value can be written", () => {
    for (const value of ["a", "a b", 'say "hi"', '"', "a b\\", 'a\\" b', '\\\\"', "\\", "a:b", '" status:failed'])
      expect(parse(`app:${quoted(value)} status:failed`), value).toEqual({ search: { app: [value], status: ["Failed"] }, problems: [] });
  });

  test.each([
    ["status:failed app:shop", "status:failed app:shop"],
    ["card declined", "card declined"],
    ["TypeError: x", "TypeError: x"],
    ["after: the flood", '"after:" the flood'],
    ["status:404 not found", '"status:404" not found'],
    ['statsu:"a b"', '"statsu:a b"'],
  ])("finds what is typed elsewhere: %s", (text, filter) => {
    expect(filterFor(text)).toBe(filter);
    expect(parse(filterFor(text)).problems).toEqual([]);
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
    ['data."a.b"=1', "cannot be asked for"],
    ["event:a event:b", "can be given once"],
  ])("says what is wrong with %s", (text, problem) => {
    expect(parse(text).problems.join()).toContain(problem);
  });

  test("is read at once, whatever it is", () => {
    for (const part of ['"', '\\"', '"a"', '"\\'])
      for (const end of ["", "=", '"='] as const) {
        const text = `data.${part.repeat(2000)}${end}`;
        parse(text);
        complete(text, text.length, { functions: [], apps: [], events: [] });
      }
  });

  test("takes a word in and out", () => {
    expect(toggle("app:shop", "status", "failed")).toBe("app:shop status:failed");
    expect(toggle("app:shop status:failed", "status", "failed")).toBe("app:shop");
    expect(without("status:failed app:shop status:queued", "status")).toBe("app:shop");
    expect(toggle('status:"failed" app:shop Status:Failed', "status", "failed")).toBe("app:shop");
    expect(without('Status:failed app:"a b"', "status")).toBe('app:"a b"');
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
    fields.push({ path: "full name.first", types: ["string"] });
    expect(found("data.full")).toEqual(['data."full name".first=']);
    expect(found('Data."full n')).toEqual(['data."full name".first=']);
  });

  test("is about the word at the cursor", () => {
    expect(complete("status:fa app:shop", 9, known)).toMatchObject({ from: 0, to: 9 });
  });
});
