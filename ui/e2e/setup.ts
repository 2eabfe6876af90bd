import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createRequire } from "node:module";
import { type AddressInfo, connect, createServer } from "node:net";
import { pathToFileURL } from "node:url";
import { test } from "@playwright/test";

const root = new URL("../..", import.meta.url).pathname;

/** A port that the system gives. */
export async function freePort(): Promise<number> {
  // A connection that this side has closed first keeps the port for a minute from
  // those whom the system gives any port, and from nobody who asks for this one.
  const server = createServer((socket) => socket.resume().end()).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await once(connect(port, "127.0.0.1").resume(), "close");
  server.close();
  await once(server, "close");
  return port;
}

export async function until(what: string, check: () => Promise<boolean>) {
  for (const end = Date.now() + 60_000; Date.now() < end; ) {
    if (await check().catch(() => false)) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`${what} took more than a minute`);
}

export async function send(base: string, ...events: { name: string; data?: unknown; id?: string }[]): Promise<string[]> {
  const answer = await fetch(`${base}/e/key`, { method: "POST", body: JSON.stringify(events) });
  return (await answer.json()).ids;
}

type Found = { run_id: string; status: string; function: string };
export async function runsOf(base: string, event: string): Promise<Found[]> {
  return (await (await fetch(`${base}/v1/runs/search?event_id=${event}`)).json()).data.runs;
}

/** The runs of an event, once all have ended. */
export async function ended(base: string, event: string): Promise<Found[]> {
  let runs: Found[] = [];
  await until(`the end of the runs of ${event}`, async () => {
    runs = await runsOf(base, event);
    return runs.length > 0 && runs.every((run) => !["Queued", "Running"].includes(run.status));
  });
  return runs;
}

/**
 * One server with nothing, and one with a shop in which much has happened, of the tests of one
 * file: files run side by side. In a shop that was used, people have done things too.
 */
export function openShop({ used }: { used: boolean }) {
  let close = async () => {};
  test.beforeAll(async () => {
    test.setTimeout(120_000);
    close = await open(used);
  });
  test.afterAll(() => close());
}

/** Processes of one file's tests, and how they are ended. */
export class Processes {
  private all: ChildProcess[] = [];
  /** What they have written. */
  said = "";

  /** Starts a command, in a group of its own: what it starts ends with it. */
  start(command: string, args: string[], { env = {}, cwd }: { env?: Record<string, string>; cwd?: string } = {}) {
    const stdio = process.env.PAWL_E2E_LOG ? "inherit" : "ignore";
    const child = spawn(command, args, { env: { ...process.env, ...env }, cwd, detached: true, stdio: ["ignore", "pipe", stdio] });
    child.stdout.on("data", (chunk) => {
      this.said += chunk;
      if (process.env.PAWL_E2E_LOG) process.stdout.write(chunk);
    });
    this.all.push(child);
  }

  /** Starts pawl dev, which looks for no app. */
  async pawl(...args: string[]): Promise<string> {
    return this.pawlAt(await freePort(), ...args);
  }

  async pawlAt(port: number, ...args: string[]): Promise<string> {
    const base = `http://127.0.0.1:${port}`;
    this.start(`${root}bin/pawl`, ["dev", "--listen", `127.0.0.1:${port}`, "--no-discovery", ...args]);
    await until("the start of pawl", async () => (await fetch(`${base}/health`)).ok);
    return base;
  }

  async end() {
    for (const child of this.all.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = once(child, "exit");
      process.kill(-child.pid!, "SIGTERM");
      await gone;
    }
    this.said = "";
  }
}

const synced = (base: string) => until("the app's sync", async () => (await (await fetch(`${base}/v1/apps`)).json()).data.length > 0);

// biome-ignore lint/suspicious/noExplicitAny: the SDK's own types are not here
type Sdk = any;
type Work = (context: Sdk) => Promise<unknown>;

/** A server of the tests of one file, with an app in the test's own process. */
export class Lab {
  base = "";
  /** Has the server begin anew where it was, with nothing of what it had. */
  restart = async () => {};

  /** functions: by their ids, with what they are configured with. The event lab/ID starts each, unless that says otherwise. */
  constructor(functions: (sdk: Sdk) => Record<string, [object, Work]>, begin: (base: string) => Promise<void> = async () => {}) {
    const processes = new Processes();
    let app: ReturnType<typeof createHttpServer> | undefined;
    test.beforeAll(async () => {
      test.setTimeout(120_000);
      const from = createRequire(`${root}e2e/apps/ts4/package.json`);
      const load = (name: string) => import(pathToFileURL(from.resolve(name)).href);
      const sdk = await load("inngest");
      const { serve } = await load("inngest/node");
      const appPort = await freePort();
      const args = ["--app", `http://127.0.0.1:${appPort}/api/inngest`];
      this.base = await processes.pawl(...args);
      this.restart = async () => {
        await processes.end();
        await processes.pawlAt(Number(new URL(this.base).port), ...args);
        await synced(this.base);
      };
      const client = new sdk.Inngest({ id: "lab", isDev: true, baseUrl: this.base });
      const made = Object.entries(functions(sdk)).map(([id, [options, work]]) =>
        client.createFunction({ id, triggers: [{ event: `lab/${id}` }], ...options }, work),
      );
      app = createHttpServer(serve({ client, functions: made })).listen(appPort, "127.0.0.1");
      await synced(this.base);
      await begin(this.base);
    });
    test.afterAll(async () => {
      await processes.end();
      app?.close();
      app?.closeAllConnections();
    });
  }
}

async function open(used: boolean) {
  const processes = new Processes();
  process.env.PAWL_EMPTY = await processes.pawl();
  const appPort = await freePort();
  const base = await processes.pawl("--retry-interval", "1s", "--app", `http://127.0.0.1:${appPort}/api/inngest`);
  process.env.PAWL_SHOP = base;
  processes.start(process.execPath, [`${root}ui/e2e/app.mjs`], { env: { PORT: String(appPort), INNGEST_DEV: base } });
  await synced(base);

  const order = (n: number, card: string) => ({
    name: "order/placed",
    data: {
      id: `o-${1000 + n}`,
      customer: `c-${n}`,
      amount: 1999 + n,
      card,
      items: [{ sku: "tea", count: 2 }],
      note: "leave it at the door",
    },
  });
  await send(base, ...Array.from({ length: 24 }, (_, i) => order(i, i % 6 === 5 ? "declined" : "ok")));
  const [failing] = await send(base, order(77, "declined"));
  const [good] = await send(base, order(78, "ok"));
  const [rates] = await send(base, { name: "rates/stale" });
  const [approval] = await send(base, { name: "refund/asked", data: { order: "o-1003", amount: 1999 } });
  const [photos] = await send(base, { name: "photos/uploaded", data: { count: 200 } });
  const [hostile] = await send(base, {
    name: "hostile/payload",
    data: { html: '<img src=x onerror="window.__hacked=1">', script: "</script><script>window.__hacked=1</script>", n: 1 },
  });
  const ids: Record<string, string> = {};
  for (const [name, event] of Object.entries({ failing, good, rates, photos, hostile })) ids[name] = (await ended(base, event!))[0]!.run_id;
  await until("the wait for an approval", async () => {
    ids.approval = (await runsOf(base, approval!))[0]!.run_id;
    const why = await (await fetch(`${base}/v1/runs/${ids.approval}/why`)).json();
    return why.data.reason === "event";
  });
  ids.event = good!;
  process.env.PAWL_RUNS = JSON.stringify(ids);
  if (used) await use(base, ids);
  return () => processes.end();
}

/** The id of the step "send receipt": the SHA-1 of its name. */
const receipt = "10a2b04d4946e63bf7bb4aed8eed25fc3645db27";

/** What people do: a run again from a step, a bulk retry, a discard, a pause, limits. */
async function use(base: string, ids: Record<string, string>) {
  const ask = async (method: string, path: string, body?: object) => {
    const headers = { "Content-Type": "application/json" };
    const answer = await fetch(base + path, { method, headers, body: body && JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()).data;
  };
  const { run_id } = await ask("POST", `/v1/runs/${ids.good}/rerun`, { fromStep: { stepId: receipt } });
  await ask("POST", "/v1/functions/shop-ship/pause", { hold: "starts", reason: "the printer is broken" });
  await ask("POST", "/v1/functions/shop-ship/resume", {});
  await ask("PUT", "/v1/functions/shop-ship/limits", { limits: { concurrency: 7 } });
  await ask("POST", `/v1/dead-letters/${ids.hostile}/discard`, { reason: "a test order" });
  await ask("POST", "/v1/dead-letters/retry", { function: "shop-checkout" });
  await until("the end of what people have started", async () => {
    const [job] = await ask("GET", "/v1/dead-letters/jobs");
    return job.state !== "running" && job.running === 0 && (await ask("GET", `/v1/runs/${run_id}`)).status === "Completed";
  });
}
