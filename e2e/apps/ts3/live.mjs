// Functions that publish, on the TypeScript SDK, version 3.
import { realtimeMiddleware } from "@inngest/realtime/middleware";
import { Inngest } from "inngest";
import { serve } from "inngest/node";
import { listen } from "../ts/server.mjs";

const client = new Inngest({ id: "live3", middleware: [realtimeMiddleware()] });

const functions = [
  client.createFunction({ id: "chat" }, { event: "live3/chat" }, async ({ step, event, publish }) => {
    const channel = `user:${event.data.user}`;
    await publish({ channel, topic: "ai", data: { n: 1, text: "hello" } });
    await step.run("work", () => publish({ channel, topic: "status", data: "working" }));
    return "told";
  }),
];

listen({ client, handler: serve({ client, functions }), port: Number(process.env.PORT) });
