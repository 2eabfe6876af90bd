// The endpoint: one HTTP handler that looks into a question, as a chain of steps, and
// streams what it is at. Where a model would be asked, a rule decides, so that nothing
// but the library is needed; the rest is what it is with a model.
import { randomUUID } from "node:crypto";
import { Inngest, NonRetriableError, step } from "inngest";
import { stream } from "inngest/experimental/durable-endpoints";
import { endpointAdapter } from "inngest/node";
import { telling, terms } from "./words.mjs";

export const client = new Inngest({ id: "deep-research", endpointAdapter });

const library = process.env.LIBRARY_URL ?? `http://127.0.0.1:${process.env.LIBRARY_PORT ?? 3001}`;
const approvalTime = process.env.APPROVAL_TIME ?? "24h";
const pace = Number(process.env.PACE ?? 40); // ms for a word, as of a model
const breadth = 4; // searches at a time

// What is streamed in a step is void when the step fails, and comes again. What is
// streamed outside of steps comes again each time that the handler is entered: so it
// has to be the same each time, and whoever joins late has it too.
const endpoint = client.endpoint(async (_, readable) => {
  const { ask, errors } = validate(await readable.text());
  if (errors) return Response.json({ errors }, { status: 400 });
  stream.push({ asked: ask.question });

  const { id, leads } = await step.run("understand", () => understand(ask));
  if (leads.length === 0) {
    return Response.json({ question: ask.question, sections: [], sources: [], reason: "the library has nothing on that" });
  }
  let questions = await step.run("plan", () => plan(ask, leads));
  stream.push({ plan: { id, questions: questions.map((q) => q.text), approve: ask.approve } });

  if (ask.approve) {
    // Leaves the request. What is streamed from here on goes through Pawl, which keeps
    // it: so whoever opens the page later sees the plan, and can answer.
    await step.sleep("leave-the-request", "1s");
    stream.push({ waits: true });
    const answer = await step.waitForEvent("approval", {
      event: "research/answered",
      if: `async.data.id == "${id}"`,
      timeout: approvalTime,
    });
    const keep = kept(answer?.data, questions.length);
    stream.push({ approved: keep });
    if (keep.length === 0) {
      const reason = answer ? "the plan was not approved" : "nobody has looked at the plan in time";
      return Response.json({ id, question: ask.question, sections: [], sources: [], reason });
    }
    questions = keep.map((i) => questions[i]);
  }

  // One search stays in this request. Several run at the same time, each entered by
  // Pawl, and one that fails is tried again by itself.
  const searches = questions.map((q, i) => step.run(`search-${i + 1}`, () => search(id, i + 1, q)));
  const found = searches.length === 1 ? [await searches[0]] : await Promise.all(searches.map((s) => s.catch(() => null)));

  const { outline, sources } = await step.run("compare", () => compare(ask, questions, found));
  const sections = [];
  for (const [i, part] of outline.entries()) {
    sections.push(await step.run(`write-${i + 1}`, () => write(part)));
  }
  return Response.json({ id, question: ask.question, sections, sources });
});

/**
 * Serves POST /research {"question", "depth": "quick" or "deep", "approve": true}. The
 * SDK reads the body before the handler does, and a body can be read once; so the
 * handler gets a second request to read it from.
 */
export const research = (req) => endpoint(req, req.clone());

function validate(text) {
  let ask;
  try {
    ask = JSON.parse(text);
  } catch {
    return { errors: ["the body has to be JSON"] };
  }
  const errors = [];
  const { question, depth = "deep", approve = false } = ask ?? {};
  if (typeof question !== "string" || terms(question).length === 0) errors.push("question: what do you want to know?");
  else if (question.length > 300) errors.push("question: at most 300 characters");
  if (depth !== "quick" && depth !== "deep") errors.push("depth: quick or deep");
  if (typeof approve !== "boolean") errors.push("approve: true or false");
  return errors.length > 0 ? { errors } : { ask: { question: question.trim(), depth, approve } };
}

/** Looks which texts have to do with the question. */
async function understand({ question }) {
  const id = randomUUID(); // drawn once and remembered
  const words = [...new Set(terms(question))];
  stream.push({ begin: "Understand the question" });
  stream.push({ line: `It is about: ${words.join(", ")}` });
  const leads = [];
  for (const { title } of await look(`${id}/understand`, words.join(" "), 16)) {
    if (!leads.includes(title)) leads.push(title);
  }
  stream.push({ line: leads.length === 1 ? "One text has to do with it" : `${leads.length} texts have to do with it` });
  return { id, leads };
}

/** Divides the question. */
async function plan({ question, depth }, leads) {
  stream.push({ begin: "Make a plan" });
  const words = [...new Set(terms(question))].join(" ");
  const questions =
    depth === "quick"
      ? [{ text: question, query: words }]
      : leads.slice(0, breadth).map((title) => ({ text: `What has “${title}” to say?`, query: `${title} ${words}` }));
  for (const { text } of questions) {
    await pause(pace * 5);
    stream.push({ line: text });
  }
  return questions;
}

/** Which parts of the plan a person has approved. Anybody can send that event. */
function kept(data, n) {
  if (data?.approved !== true) return [];
  const all = Array.from({ length: n }, (_, i) => i);
  return Array.isArray(data.keep) ? all.filter((i) => data.keep.includes(i)) : all;
}

/** Searches, reads what was found, and notes what matters. */
async function search(id, n, { text, query }) {
  const who = `${id}/search-${n}`;
  stream.push({ begin: text });
  const passages = await look(who, query, 3);
  const notes = [];
  for (const { id: at, title } of passages) {
    stream.push({ line: `Reads ${at}` });
    const passage = await call(`/passages/${at}?for=${encodeURIComponent(who)}`);
    for (const { text, score } of telling(passage.text, terms(query), 2)) {
      notes.push({ title, at, text, score });
      stream.push({ note: text, source: title });
    }
  }
  return notes;
}

/** Puts the notes in order: what was found twice is used once. */
async function compare({ question }, questions, found) {
  stream.push({ begin: "Compare the notes" });
  const seen = new Set();
  const sources = [];
  const cite = ({ title, at, text }) => {
    let n = sources.findIndex((s) => s.at === at) + 1;
    if (n === 0) n = sources.push({ title, at });
    return `${text} [${n}]`;
  };
  const fresh = found.map((notes) =>
    (notes ?? []).filter(({ text }) => !seen.has(text) && seen.add(text)),
  );
  const all = fresh.flat();
  const want = new Set(terms(question));
  const weight = ({ text }) => new Set(terms(text).filter((word) => want.has(word))).size;
  const best = [...all].sort((a, b) => weight(b) - weight(a)).slice(0, 2);
  const outline = [{ heading: "In short", text: best.map(cite).join(" ") }];
  for (const [i, notes] of fresh.entries()) {
    const rest = notes.filter((note) => !best.includes(note));
    if (found[i] === null) outline.push({ heading: questions[i].text, text: "The library was closed each time that this was tried." });
    else if (rest.length > 0) outline.push({ heading: questions[i].text, text: rest.map(cite).join(" ") });
  }
  const twice = found.flat().filter(Boolean).length - all.length;
  stream.push({ line: `${all.length} notes of ${sources.length} passages${twice ? `, ${twice} found twice` : ""}` });
  return { outline, sources };
}

/** Writes one section. */
async function write({ heading, text }) {
  stream.push({ begin: heading, section: true });
  await stream.pipe(words(text));
  return { heading, text };
}

async function* words(text) {
  for (const word of text.split(/(?<= )/)) {
    await pause(pace);
    yield word;
  }
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

const look = (who, query, n) => call(`/search?${new URLSearchParams({ q: query, n, for: who })}`);

/** Asks the library. What it refuses for good (4xx) is not tried again. */
async function call(path) {
  const res = await fetch(library + path);
  if (res.ok) return res.json();
  const { error } = await res.json().catch(() => ({ error: res.statusText }));
  if (res.status < 500) throw new NonRetriableError(error);
  throw new Error(error);
}
