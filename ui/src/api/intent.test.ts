import { expect, test } from "vitest";
import { ApiError } from "./client";
import { once } from "./intent";

/** Requests that are answered by hand. */
function server() {
  const keys: string[] = [];
  const answers: { ok: (run: string) => void; bad: (error: unknown) => void }[] = [];
  const ask = (key: string) => {
    keys.push(key);
    return new Promise<string>((ok, bad) => answers.push({ ok, bad }));
  };
  return { keys, answers, ask };
}

test("the same while one is under way is one request", async () => {
  const { keys, answers, ask } = server();
  const first = once(["rerun", "a"], ask);
  const second = once(["rerun", "a"], ask);
  expect(keys).toHaveLength(1);
  answers[0]!.ok("run");
  expect(await Promise.all([first, second])).toEqual(["run", "run"]);
  void once(["rerun", "a"], ask);
  expect(keys).toHaveLength(2);
  expect(keys[1]).not.toBe(keys[0]);
});

test("something else is another request, with a key of its own", () => {
  const { keys, ask } = server();
  void once(["rerun", "b", { amount: 1 }], ask);
  void once(["rerun", "b", { amount: 2 }], ask);
  void once(["rerun", "c", { amount: 1 }], ask);
  expect(new Set(keys).size).toBe(3);
});

test("what may have happened is asked for again with the same key, what was refused with another", async () => {
  const { keys, answers, ask } = server();
  for (const error of [new TypeError("Failed to fetch"), new ApiError(503, "draining"), new ApiError(409, "it is closed")]) {
    const asked = once(["retry", "d"], ask);
    answers.at(-1)!.bad(error);
    await expect(asked).rejects.toBe(error);
  }
  void once(["retry", "d"], ask);
  expect(keys[1]).toBe(keys[0]);
  expect(keys[2]).toBe(keys[0]);
  expect(keys[3]).not.toBe(keys[0]);
});
