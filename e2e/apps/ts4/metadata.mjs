// A function that notes what it does, on the TypeScript SDK, version 4.
import { Inngest } from "inngest";
import { metadataMiddleware } from "inngest/experimental";
import { serve } from "inngest/node";
import { listen } from "../ts/server.mjs";

const client = new Inngest({ id: "noted", middleware: [metadataMiddleware()] });

const functions = [
  client.createFunction({ id: "order", triggers: [{ event: "noted/order" }] }, async ({ runId, step }) => {
    // About the step that runs: it goes along with the step's report.
    await step.run("charge", () => client.metadata.set({ cents: 5 }, "cost"));
    // About the run, about a step that has ended, and about one try: by a request.
    await step.run("note", async () => {
      await client.metadata.run(runId).set({ customer: "c42" }, "who");
      await client.metadata.step("charge").set({ tax: 1 }, "tax");
      await client.metadata.step("charge").attempt(0).set({ ms: 12 }, "time");
    });
    await step.metadata("of a step of its own").run().set({ done: true }, "state");
    return "noted";
  }),
];

listen({ client, handler: serve({ client, functions }), port: Number(process.env.PORT) });
