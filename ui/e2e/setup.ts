import { type ChildProcess, spawn } from "node:child_process";
import { createServer } from "node:net";

const root = new URL("../..", import.meta.url).pathname;

export function freePort(): Promise<number> {
  return new Promise((done) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => done(port));
    });
  });
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

/** One server with nothing, and one with a shop in which much has happened. */
export default async function setup() {
  const children: ChildProcess[] = [];
  const start = (command: string, args: string[], env: Record<string, string> = {}) => {
    const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: process.env.PAWL_E2E_LOG ? "inherit" : "ignore" });
    children.push(child);
    return child;
  };
  const server = async (...args: string[]) => {
    const port = await freePort();
    const base = `http://127.0.0.1:${port}`;
    start(`${root}bin/pawl`, ["dev", "--listen", `127.0.0.1:${port}`, "--no-discovery", ...args]);
    await until("the start of pawl", async () => (await fetch(`${base}/health`)).ok);
    return base;
  };
  process.env.PAWL_EMPTY = await server();
  const appPort = await freePort();
  const base = await server("--retry-interval", "1s", "--app", `http://127.0.0.1:${appPort}/api/inngest`);
  process.env.PAWL_SHOP = base;
  start(process.execPath, [`${root}ui/e2e/app.mjs`], { PORT: String(appPort), INNGEST_DEV: base });
  await until("the app's sync", async () => (await (await fetch(`${base}/v1/apps`)).json()).data.length > 0);

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
  return () => {
    for (const child of children) child.kill("SIGTERM");
  };
}
