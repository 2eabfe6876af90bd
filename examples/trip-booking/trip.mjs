// The endpoint: one HTTP handler that books a trip, whatever breaks on the way.
import { randomUUID } from "node:crypto";
import { Inngest, NonRetriableError, step } from "inngest";
import { endpointAdapter } from "inngest/node";

export const client = new Inngest({ id: "trip-booking", endpointAdapter });

const providers = process.env.PROVIDERS_URL ?? `http://127.0.0.1:${process.env.PROVIDERS_PORT ?? 3001}`;
const approvalFrom = 1000; // trips that cost more are looked at by a person
const approvalTime = process.env.APPROVAL_TIME ?? "24h";

const endpoint = client.endpoint(async (_, readable) => {
  const { trip, errors } = validate(await readable.text());
  if (errors) return Response.json({ errors }, { status: 400 });

  // Drawn once and remembered: providers see the same id however often a step is tried.
  const id = await step.run("draw-id", () => randomUUID());

  const undo = []; // what has to be undone if the trip comes to nothing, the latest first
  const book = async (what, details) => {
    await step.run(`book-${what}`, () => call("POST", what, id, details));
    undo.unshift(what);
  };
  const giveUp = async (status, reason) => {
    for (const what of undo) await step.run(`cancel-${what}`, () => call("DELETE", what, id));
    return Response.json({ id, booked: false, reason }, { status });
  };

  try {
    await book("flight", { to: trip.to, traveller: trip.traveller });
    await book("hotel", { in: trip.to, nights: trip.nights });
  } catch (err) {
    return giveUp(502, err.message);
  }

  if (trip.price > approvalFrom) {
    await step.run("ask-for-approval", () => call("POST", "approvals", id, trip));
    const answer = await step.waitForEvent("approval", {
      event: "trip/answered",
      if: `async.data.id == "${id}"`,
      timeout: approvalTime,
    });
    if (!answer) return giveUp(408, "nobody has approved the trip in time");
    if (!answer.data.approved) return giveUp(403, "the trip was not approved");
  }

  try {
    await book("payment", { amount: trip.price });
  } catch (err) {
    return giveUp(402, err.message);
  }
  return Response.json({ id, booked: true, ...trip }, { status: 201 });
});

/**
 * Serves POST /book. The SDK reads the body before the handler does, and a body can
 * be read once; so the handler gets a second request to read it from.
 */
export const bookTrip = (req) => endpoint(req, req.clone());

function validate(text) {
  let trip;
  try {
    trip = JSON.parse(text);
  } catch {
    return { errors: ["the body has to be JSON"] };
  }
  const errors = [];
  if (typeof trip?.traveller !== "string" || !trip.traveller) errors.push("traveller: who travels?");
  if (typeof trip?.to !== "string" || !trip.to) errors.push("to: where to?");
  if (!Number.isInteger(trip?.nights) || trip.nights < 1) errors.push("nights: a number from 1");
  if (typeof trip?.price !== "number" || !(trip.price > 0)) errors.push("price: a number above 0");
  return errors.length > 0 ? { errors } : { trip };
}

/**
 * Books or cancels one thing. What a provider refuses for good (4xx) is not tried
 * again; anything else is.
 */
async function call(method, what, id, details) {
  const res = await fetch(`${providers}/${what}/${id}`, {
    method,
    headers: { "content-type": "application/json" },
    body: details && JSON.stringify(details),
  });
  if (res.ok) return res.json();
  const { error } = await res.json().catch(() => ({ error: res.statusText }));
  if (res.status < 500) throw new NonRetriableError(error);
  throw new Error(`${what}: ${error}`);
}
