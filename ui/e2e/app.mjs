// A shop on the official SDK, with what a dashboard has to show: payments that fail,
// an approval that is waited for, 200 parallel steps, and names that try to be markup.

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const from = createRequire(new URL("../../e2e/apps/ts4/package.json", import.meta.url));
const load = (name) => import(pathToFileURL(from.resolve(name)));
const { Inngest, NonRetriableError } = await load("inngest");
const { serve } = await load("inngest/node");

const shop = new Inngest({ id: "shop" });
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

class CardDeclined extends NonRetriableError {
  name = "CardDeclined";
}

async function chargeCard(order) {
  await pause(30);
  if (order.card === "declined") throw new CardDeclined(`card of customer ${order.customer} was declined: insufficient funds`);
  return { charge: `ch_${order.id}`, amount: order.amount };
}

const checkout = shop.createFunction(
  { id: "checkout", name: "Checkout", retries: 1, triggers: [{ event: "order/placed" }] },
  async ({ event, step }) => {
    const order = await step.run("validate order", async () => {
      await pause(12);
      return { ...event.data, valid: true };
    });
    const stock = await step.run("reserve stock", async () => {
      await pause(25);
      return { reserved: order.items?.length ?? 1, warehouse: "Rotterdam" };
    });
    const charge = await step.run("charge card", () => chargeCard(order));
    await step.sleep("let the bank settle", "1s");
    const parcel = await step.invoke("ship it", { function: ship, data: { order: order.id, from: stock.warehouse } });
    await step.run("send receipt", async () => ({ to: order.customer, charge: charge.charge }));
    return { order: order.id, charge: charge.charge, parcel };
  },
);

const ship = shop.createFunction(
  { id: "ship", name: "Ship a parcel", triggers: [{ event: "parcel/requested" }] },
  async ({ event, step }) => {
    const label = await step.run("print label", async () => `PL-${event.data.order}`);
    return { label };
  },
);

let tries = 0;
const flaky = shop.createFunction(
  { id: "refresh-rates", name: "Refresh exchange rates", retries: 4, triggers: [{ event: "rates/stale" }] },
  async ({ step }) => {
    const rates = await step.run("ask the bank", async () => {
      await pause(20);
      if (++tries % 3 !== 0) throw new Error("bank answered 503: try again later");
      return { EUR: 1, USD: 1.0842, big: "12345678901234567890" };
    });
    await step.run("store rates", async () => Object.keys(rates).length);
    return rates;
  },
);

const refund = shop.createFunction(
  { id: "refund", name: "Refund with approval", triggers: [{ event: "refund/asked" }] },
  async ({ event, step }) => {
    await step.run("find the order", async () => ({ order: event.data.order, amount: event.data.amount }));
    const approval = await step.waitForEvent("wait for approval", {
      event: "refund/approved",
      timeout: "3d",
      if: "async.data.order == event.data.order",
    });
    if (!approval) return "nobody approved";
    return step.run("pay back", async () => ({ by: approval.data.by }));
  },
);

const wide = shop.createFunction(
  { id: "thumbnails", name: "Make thumbnails", triggers: [{ event: "photos/uploaded" }] },
  async ({ event, step }) => {
    const made = await Promise.all(
      Array.from({ length: event.data.count ?? 200 }, (_, i) =>
        step.run(`thumbnail ${i + 1}`, async () => {
          await pause(5 + ((i * 7919) % 90));
          return { photo: i + 1, bytes: 2048 + i };
        }),
      ),
    );
    return step.run("write index", async () => made.length);
  },
);

const evil = '<img src=x onerror="window.__hacked=1"><script>window.__hacked=1</script>';
const hostile = shop.createFunction(
  { id: "hostile", name: `Hostile ${evil}`, retries: 0, triggers: [{ event: "hostile/payload" }] },
  async ({ event, step }) => {
    await step.run(`${evil} \u202egnp.exe`, async () => ({
      [evil]: event.data,
      html: evil,
      url: "javascript:window.__hacked=1",
      long: "x".repeat(5000),
      deep: { a: { b: { c: [evil] } } },
    }));
    const error = new Error(`${evil}\n\u001b[31mred\u001b[0m`);
    error.name = "<b>Evil</b>";
    throw error;
  },
);

const nightly = shop.createFunction(
  { id: "nightly-report", name: "Nightly report", triggers: [{ cron: "TZ=Europe/Paris 30 2 * * 1-5" }] },
  async () => "sent",
);

const functions = [checkout, ship, flaky, refund, wide, hostile, nightly];
createServer(serve({ client: shop, functions })).listen(Number(process.env.PORT), "127.0.0.1", () => console.log("listening"));
