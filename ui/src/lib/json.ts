import { isLosslessNumber, LosslessNumber, parse, stringify } from "lossless-json";

/** JSON as it was written: a number that a browser would round stays what it is. */
export const parseExact = (text: string): unknown =>
  parse(text, undefined, (value) => (String(Number(value)) === value ? Number(value) : new LosslessNumber(value)));

export const write = (value: unknown, space = 2): string => stringify(value, undefined, space) ?? "null";

export const numberText = (value: unknown): string | undefined =>
  isLosslessNumber(value) ? value.value : typeof value === "number" ? String(value) : undefined;

export type Failure = { name: string; message: string; stack: string; cause?: Failure };

/** What an SDK sent as an error, whatever its form. */
export function failureOf(value: unknown, depth = 0): Failure | undefined {
  if (value == null) return undefined;
  if (typeof value === "string") return { name: "", message: value, stack: "" };
  if (typeof value !== "object" || isLosslessNumber(value)) return { name: "", message: write(value, 0), stack: "" };
  const o = value as Record<string, unknown>;
  if (o.error && typeof o.error === "object" && o.message === undefined) return failureOf(o.error, depth);
  const text = (v: unknown) => (typeof v === "string" ? v : v == null ? "" : write(v, 0));
  return {
    name: text(o.name),
    message: o.message === undefined && o.name === undefined ? write(value, 0) : text(o.message),
    stack: text(o.stack),
    cause: depth < 4 && o.cause ? failureOf(o.cause, depth + 1) : undefined,
  };
}
