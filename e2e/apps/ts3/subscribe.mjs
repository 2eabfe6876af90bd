// Reads topics with the realtime package of the TypeScript SDK, version 3, and
// writes what comes to a file.
import fs from "node:fs";
import { getSubscriptionToken, subscribe } from "@inngest/realtime";
import { Inngest } from "inngest";

const fd = fs.openSync(process.env.OUT, "a");
const note = (line) => fs.writeSync(fd, `${JSON.stringify(line)}\n`);
const token = await getSubscriptionToken(new Inngest({ id: "reader" }), {
  channel: process.env.CHANNEL,
  topics: process.env.TOPICS.split(","),
});
await subscribe(token, (m) =>
  note({ kind: m.kind, channel: m.channel, topic: m.topic, data: m.data, runId: m.runId, streamId: m.streamId }),
);
note({ kind: "open" });
