import { Inngest, step } from "inngest";
import { endpointAdapter } from "inngest/next";
import { anotherExpensiveOperation, expensiveOperation, parseParams } from "./operations";

const inngest = new Inngest({ id: "my-app", endpointAdapter });

export const handler = inngest.endpoint(async (req: Request) => {
  const { input } = parseParams(req);

  // Each step.run() checkpoints on completion
  const processed = await step.run("process-input", async () => {
    return await expensiveOperation(input);
  });

  // If this fails, we resume here — not from the beginning
  const result = await step.run("generate-output", async () => {
    return await anotherExpensiveOperation(processed);
  });

  return Response.json({ result });
});
