// What the endpoint of brief.ts leaves to whoever copies it.
import { log } from "./endpoints";

export const parseParams = (req: Request) => ({ input: new URL(req.url).searchParams.get("input") ?? "" });

export async function expensiveOperation(input: string) {
  log({ key: input, what: "start", step: "process-input" });
  log({ key: input, what: "end", step: "process-input" });
  return input.toUpperCase();
}

const tries = new Map<string, number>();

// Fails once for each input that begins with "flaky".
export async function anotherExpensiveOperation(processed: string) {
  log({ key: processed.toLowerCase(), what: "start", step: "generate-output" });
  tries.set(processed, (tries.get(processed) ?? 0) + 1);
  if (processed.startsWith("FLAKY") && tries.get(processed) === 1) throw new Error("the model is overloaded");
  log({ key: processed.toLowerCase(), what: "end", step: "generate-output" });
  return [...processed].reverse().join("");
}
