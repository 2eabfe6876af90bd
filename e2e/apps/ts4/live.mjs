// Functions that publish, on the TypeScript SDK, version 4.
import { Inngest } from "inngest";
import { serve } from "inngest/node";
import { channel, staticSchema } from "inngest/realtime";
import { listen } from "../ts/server.mjs";

const client = new Inngest({ id: "live4" });
const user = channel({
  name: (id) => `user:${id}`,
  topics: { ai: { schema: staticSchema() }, status: { schema: staticSchema() } },
});

const functions = [
  client.createFunction({ id: "chat", triggers: [{ event: "live4/chat" }] }, async ({ step, event }) => {
    const to = user(event.data.user);
    const sent = await step.realtime.publish("first", to.ai, { n: 1, text: "hello" });
    await step.run("work", () => client.realtime.publish(to.status, "working"));
    await step.realtime.publish("second", to.ai, { n: 2, of: sent });
    return "told";
  }),
  client.createFunction({ id: "wait", triggers: [{ event: "live4/wait" }] }, async ({ step }) => {
    await step.waitForEvent("go", { event: "live4/go", timeout: "1m" });
    return { secret: 7 };
  }),
];

listen({ client, handler: serve({ client, functions }), port: Number(process.env.PORT) });
