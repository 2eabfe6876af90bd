// Reads topics with the TypeScript SDK, version 4, and writes what comes to a file.
import fs from "node:fs";
import { Inngest } from "inngest";
import { subscribe } from "inngest/realtime";

const fd = fs.openSync(process.env.OUT, "a");
const note = (line) => fs.writeSync(fd, `${JSON.stringify(line)}\n`);
await subscribe({
  app: new Inngest({ id: "reader" }),
  channel: process.env.CHANNEL,
  topics: process.env.TOPICS.split(","),
  onMessage: (m) => note({ kind: m.kind, channel: m.channel, topic: m.topic, data: m.data, runId: m.runId, streamId: m.streamId }),
  onError: (err) => note({ kind: "error", data: String(err) }),
});
note({ kind: "open" });
