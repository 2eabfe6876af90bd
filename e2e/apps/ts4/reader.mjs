// Reads a streaming endpoint with the SDK's own client, and writes what it is told
// to a file. When the connection breaks it comes again, to where the stream goes on.
import fs from "node:fs";
import { fetchWithStream } from "inngest/experimental/durable-endpoints/client";

const fd = fs.openSync(process.env.OUT, "a");
const note = (line) => fs.writeSync(fd, `${JSON.stringify({ ...line, t: Date.now() })}\n`);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

let url = process.env.URL;
let next; // where the stream goes on
const watching = async (input, init) => {
  if (String(input).includes("/v1/realtime/sse")) next = String(input);
  return fetch(input, init);
};
for (;;) {
  note({ what: "open", data: url === process.env.URL ? "endpoint" : "stream" });
  try {
    const res = await fetchWithStream(url, {
      fetch: watching,
      fetchOpts: process.env.KEY ? { headers: { "Idempotency-Key": process.env.KEY } } : undefined,
      onMetadata: ({ runId }) => note({ what: "run", data: runId }),
      onData: ({ data, hashedStepId }) => note({ what: "data", step: hashedStepId ?? "", data }),
      onCommit: ({ hashedStepId }) => note({ what: "commit", step: hashedStepId ?? "" }),
      onRollback: ({ hashedStepId }) => note({ what: "rollback", step: hashedStepId ?? "" }),
    });
    note({ what: "result", status: res.status, type: res.headers.get("content-type"), of: res.headers.get("x-of"), data: await res.text(), next });
    break;
  } catch (err) {
    note({ what: "broken", data: String(err) });
    if (next) url = next;
    await pause(50);
  }
}
