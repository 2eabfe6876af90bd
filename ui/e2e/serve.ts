import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, Processes, until } from "./setup";

const root = new URL("../..", import.meta.url).pathname;

export const keys = {
  signing: `signkey-prod-${"a1".repeat(32)}`,
  previous: `signkey-prod-${"b2".repeat(32)}`,
  event: "event-key-of-the-shop",
};

type Alert = { kind: string; text: string; url: string };

/** `pawl serve` on an empty store, with a shop on the official SDK. */
export async function serve() {
  const processes = new Processes();
  const dir = mkdtempSync(join(tmpdir(), "pawl-e2e-"));
  const [port, appPort] = [await freePort(), await freePort()];
  const alerts: Alert[] = [];
  const hook = createServer((request, answer) => {
    let text = "";
    request.on("data", (chunk) => {
      text += chunk;
    });
    request.on("end", () => {
      alerts.push(...(JSON.parse(text) as { alerts: Alert[] }).alerts);
      answer.end();
    });
  });
  await new Promise<void>((done) => hook.listen(0, "127.0.0.1", done));
  const base = `http://127.0.0.1:${port}`;
  const flags = {
    listen: `127.0.0.1:${port}`,
    db: `sqlite:${join(dir, "pawl.db")}`,
    app: `http://127.0.0.1:${appPort}/api/inngest`,
    "public-url": base,
    "allow-private-addresses": true,
    "alert-interval": "500ms",
  };
  processes.start(`${root}bin/pawl`, ["serve", ...Object.entries(flags).map(([name, value]) => `--${name}=${value}`)], {
    env: {
      PAWL_SIGNING_KEY: keys.signing,
      PAWL_SIGNING_KEY_PREVIOUS: keys.previous,
      PAWL_EVENT_KEY: keys.event,
      PAWL_ALERT_WEBHOOK: `http://127.0.0.1:${(hook.address() as AddressInfo).port}/`,
    },
    cwd: dir,
  });
  processes.start(process.execPath, [`${root}ui/e2e/app.mjs`], {
    env: {
      PORT: String(appPort),
      INNGEST_DEV: "0",
      INNGEST_BASE_URL: base,
      INNGEST_SIGNING_KEY: keys.signing,
      INNGEST_EVENT_KEY: keys.event,
    },
  });
  const signed = { headers: { Authorization: `Bearer ${keys.signing}` } };
  await until("the start of pawl", async () => (await fetch(`${base}/health`)).ok);
  await until("the setup link", async () => /\/setup#\S+/.test(processes.said));
  await until("the app's sync", async () => (await (await fetch(`${base}/v1/apps`, signed)).json()).data.length > 0);
  /** A run that waits, for somebody to cancel. */
  const waiting = async (order: string): Promise<string> => {
    const sent = await fetch(`${base}/e/${keys.event}`, {
      method: "POST",
      body: JSON.stringify({ name: "refund/asked", data: { order } }),
    });
    const [event] = (await sent.json()).ids;
    let run = "";
    await until("a run that waits", async () => {
      run = (await (await fetch(`${base}/v1/events/${event}/runs`, signed)).json()).data[0].run_id;
      return (await (await fetch(`${base}/v1/runs/${run}/why`, signed)).json()).data.reason === "event";
    });
    return run;
  };
  return {
    base,
    link: /http:\S+\/setup#\S+/.exec(processes.said)![0],
    signed,
    waiting,
    /** What people were alerted of. */
    alerts,
    stop: async () => {
      await processes.end();
      hook.close();
      hook.closeAllConnections();
      rmSync(dir, { recursive: true });
    },
  };
}
