import { serve } from "inngest/next";
import { inngest } from "../../../lib/endpoints";

const double = inngest.createFunction({ id: "double", triggers: [{ event: "next/double" }] }, async ({ event, step }) => {
  const n = await step.run("work", () => 2 * event.data.n);
  return { n };
});

export const { GET, POST, PUT } = serve({ client: inngest, functions: [double] });
