import { many } from "./text";

// The options of a function, in words. What has no words here stays as it is.

type Fact = { name: string; text: string };
type Option = Record<string, unknown>;

const isOption = (value: unknown): value is Option => typeof value === "object" && value !== null && !Array.isArray(value);
const number = (value: unknown) => (value === undefined || value === null ? undefined : Number(String(value)));
const each = (key: unknown) => (typeof key === "string" && key ? `, for each ${key}` : "");

/** Only these members, or there is more to say than the words do. */
const has = (o: Option, ...known: string[]) => Object.keys(o).every((name) => known.includes(name) || o[name] == null || o[name] === "");

const words: Record<string, (value: unknown) => Fact | undefined> = {
  retries: (v) => {
    const n = isOption(v) ? number(v.value) : undefined;
    if (n === undefined || !isOption(v)) return undefined;
    return { name: "Retries", text: `${n === 0 ? "none" : String(n)}${v.isDefault === true ? ", as it is usual" : ""}` };
  },
  concurrency: (v) => {
    if (!Array.isArray(v) || !v.every((o) => isOption(o) && isOption(o.limit) && has(o, "limit", "key", "scope"))) return undefined;
    const one = (o: Option) => {
      const n = number((o.limit as Option).value);
      const scope = typeof o.scope === "string" && o.scope && o.scope !== "FN" ? `, over the whole ${o.scope.toLowerCase()}` : "";
      return `${n ? `${n} at a time` : "any number"}${each(o.key)}${scope}`;
    };
    return { name: "Concurrency", text: v.map(one).join("; ") };
  },
  throttle: (v) => rate("Throttle", v, "wait", "burst"),
  rateLimit: (v) => rate("Rate limit", v, "are skipped"),
  debounce: (v) =>
    isOption(v) && v.period && has(v, "period", "key", "timeout")
      ? { name: "Debounce", text: `after ${v.period} of quiet${each(v.key)}${v.timeout ? `, ${v.timeout} at most` : ""}` }
      : undefined,
  eventsBatch: (v) =>
    isOption(v) && number(v.maxSize) && v.timeout && has(v, "maxSize", "timeout", "key")
      ? { name: "Batch", text: `up to ${many(number(v.maxSize)!, "event")}, or what came in ${v.timeout}${each(v.key)}` }
      : undefined,
  singleton: (v) =>
    isOption(v) && has(v, "key", "mode")
      ? { name: "Singleton", text: `one run${each(v.key)}${v.mode === "cancel" ? "; a new one cancels it" : "; others are skipped"}` }
      : undefined,
  priority: (v) => (isOption(v) && typeof v.run === "string" && has(v, "run") ? { name: "Priority", text: v.run } : undefined),
  idempotency: (v) => (typeof v === "string" ? { name: "Once for each", text: v } : undefined),
  idempotencyKey: (v) =>
    typeof v === "string" ? { name: "Without a key", text: v === "required" ? "a start is refused" : `${v}` } : undefined,
  timeouts: (v) =>
    isOption(v) && has(v, "start", "finish")
      ? {
          name: "Timeouts",
          text: [v.start && `begins within ${v.start}`, v.finish && `ends within ${v.finish}`].filter(Boolean).join(", "),
        }
      : undefined,
};

function rate(name: string, v: unknown, what: string, ...more: string[]): Fact | undefined {
  if (!isOption(v) || !number(v.limit) || !v.period || !has(v, "limit", "period", "key", ...more)) return undefined;
  const burst = number(v.burst);
  return {
    name,
    text: `${many(number(v.limit)!, "start")} in ${v.period}${each(v.key)}${burst && burst > 1 ? `, ${burst} at once` : ""}; more ${what}`,
  };
}

/** The options in words, and those for which there are none. */
export function configured(options: object): { facts: Fact[]; rest: Option } {
  const facts: Fact[] = [];
  const rest: Option = {};
  for (const [name, value] of Object.entries(options)) {
    const fact = words[name]?.(value);
    if (fact?.text) facts.push(fact);
    else rest[name] = value;
  }
  return { facts, rest };
}
