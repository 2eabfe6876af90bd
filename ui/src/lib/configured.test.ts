import { expect, test } from "vitest";
import { configured } from "./configured";

test("options of a function are words", () => {
  const { facts, rest } = configured({
    retries: { value: 0, isDefault: false },
    concurrency: [
      { limit: { value: 1, isPlanLimit: false }, key: "event.data.tenant" },
      { limit: { value: 5 }, scope: "ENV" },
    ],
    throttle: { limit: 2, period: "1h", key: "event.data.tenant", burst: 1 },
    debounce: { period: "10m" },
    eventsBatch: { maxSize: 50, timeout: "60s" },
    singleton: { mode: "skip", key: "event.data.id" },
    timeouts: { finish: "1m" },
  });
  expect(Object.fromEntries(facts.map((f) => [f.name, f.text]))).toEqual({
    Retries: "none",
    Concurrency: "1 at a time, for each event.data.tenant; 5 at a time, over the whole env",
    Throttle: "2 starts in 1h, for each event.data.tenant; more wait",
    Debounce: "after 10m of quiet",
    Batch: "up to 50 events, or what came in 60s",
    Singleton: "one run, for each event.data.id; others are skipped",
    Timeouts: "ends within 1m",
  });
  expect(rest).toEqual({});
  expect(configured({ retries: { value: 4, isDefault: true } }).facts[0]?.text).toBe("4, as it is usual");
});

test("what has no words is shown as it is", () => {
  const odd = { debounce: { period: "1m", surprise: true }, throttle: "a lot", cancellations: [{ event: "stop" }] };
  expect(configured(odd)).toEqual({ facts: [], rest: odd });
});
