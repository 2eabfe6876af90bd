// The page: asks, shows what is streamed and what becomes of it, and goes on reading
// at Pawl when the run has left its request. What comes is text and never markup.
import { events, follow, Transcript } from "./stream.js";

const pawl = document.querySelector("meta[name=pawl]").content;
const $ = (id) => document.getElementById(id);
const maxLog = 400; // lines

let transcript;
let stop = () => {}; // ends the reading of the run that is shown
let cards; // step → what is shown of it
let tracks; // of the run: {where, plan, answered}
let dirty = false;

function el(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  e.append(...children); // texts become text nodes
  return e;
}

/** Clears the page for a run. */
function begin(title) {
  stop();
  stop = () => {};
  transcript = new Transcript();
  cards = new Map();
  tracks = { where: "request", plan: null, answered: false };
  for (const id of ["steps", "report", "log", "plan"]) $(id).replaceChildren();
  $("sources").hidden = true;
  $("approval").hidden = true;
  $("result").hidden = true;
  $("hint").textContent = "";
  $("sent").textContent = "";
  $("run-title").textContent = title;
  $("run").hidden = false;
  paint();
}

const states = {
  request: ["busy", "in this request"],
  background: ["later", "goes on in the background"],
  lost: ["bad", "connection lost, tries again"],
  done: ["good", "answered"],
  failed: ["bad", "failed"],
  refused: ["bad", "not begun"],
  gone: ["bad", "not kept any more"],
};

function state(name, hint = "") {
  tracks.state = name;
  const [kind, text] = states[name];
  $("badge").className = `badge ${kind}`;
  $("badge").textContent = name === "done" ? `answered in ${tracks.where === "request" ? "this request" : "the background"}` : text;
  $("hint").textContent = hint;
  const at = name === "done" ? "answer" : tracks.where;
  for (const place of ["request", "background", "answer"]) {
    $(`way-${place}`).className = place === at ? "here" : place === "background" && tracks.where === "request" ? "" : at === "request" ? "" : place === "answer" ? "" : "past";
  }
  const busy = name === "request";
  $("go").disabled = busy;
  document.documentElement.dataset.state = name; // for those who test
}

/** A line of the log; those that say the same are one. */
function log(from, mark, of, kind = "") {
  const last = $("log").lastElementChild;
  const key = JSON.stringify([from, mark, of]);
  if (last?.dataset.key === key && mark === "stream") {
    last.dataset.n = Number(last.dataset.n) + 1;
    last.lastChild.textContent = `${of} × ${last.dataset.n}`;
    return;
  }
  const line = el("li", { "data-n": "1", class: kind }, el("span", { class: "from" }, from), el("b", {}, mark), el("span", {}, of));
  line.dataset.key = key;
  const end = $("log").scrollHeight - $("log").scrollTop - $("log").clientHeight < 30;
  $("log").append(line);
  if ($("log").childElementCount > maxLog) $("log").firstElementChild.remove();
  if (end) $("log").scrollTop = $("log").scrollHeight;
}

const title = (step) => (step === null ? "outside of steps" : (cards.get(step)?.title ?? `step ${String(step).slice(0, 7)}`));

/** Takes an event from the app or from Pawl. */
function came(from, name, data) {
  const step = data.hashedStepId ?? null;
  switch (name) {
    case "inngest.metadata":
      log(from, "run", data.runId);
      break;
    case "inngest.stream": {
      const card = step === null ? null : cardOf(step);
      if (card && typeof data.data?.begin === "string") {
        card.title = data.data.begin;
        card.section ||= data.data.section === true;
      }
      log(from, "stream", title(step));
      break;
    }
    case "inngest.commit":
      log(from, "commit", title(step), "good");
      if (cards.has(step)) cards.get(step).ghost = [];
      break;
    case "inngest.rollback":
      if (step === null) log(from, "rollback", title(step));
      break;
    case "pawl.incomplete":
      log(from, "incomplete", "more was streamed than is kept", "bad");
      break;
  }
  paint();
}

function cardOf(step) {
  if (!cards.has(step)) cards.set(step, { title: `step ${String(step).slice(0, 7)}`, section: false, ghost: [], voided: 0 });
  return cards.get(step);
}

/** Parts have become void. Those that were rolled back stay to be seen, struck out. */
function voided(from, parts, why) {
  if (parts.length === 0) return;
  if (why === "again") {
    log(from, "again", `${parts.length} pieces are sent again`);
  } else {
    for (const step of new Set(parts.map((p) => p.step))) {
      if (step === null) continue;
      const card = cardOf(step);
      card.ghost = parts.filter((p) => p.step === step).map((p) => p.data);
      card.voided++;
      log(from, why, `${title(step)}: ${card.ghost.length} pieces are void`, "bad");
    }
  }
  paint();
}

function paint() {
  if (dirty) return;
  dirty = true;
  requestAnimationFrame(() => {
    dirty = false;
    draw();
  });
}

function draw() {
  for (const part of transcript.of(null)) outside(part.data);
  for (const [step, card] of cards) {
    const parts = transcript.of(step);
    const status = parts.length === 0 ? (card.voided > 0 ? "rolled back" : "") : parts.every((p) => p.committed) ? "committed" : "under way";
    const drawn = JSON.stringify([parts.map((p) => p.data), card.ghost, status, card.voided, card.title]);
    if (card.drawn === drawn) continue;
    card.drawn = drawn;
    const chips = el("span", { class: "chips" });
    if (card.voided > 0) chips.append(el("span", { class: "chip bad" }, card.voided === 1 ? "rolled back once" : `rolled back ${card.voided} times`));
    if (status && status !== "rolled back") chips.append(el("span", { class: `chip ${status === "committed" ? "good" : "busy"}` }, status));
    const body = card.section ? [prose(parts, card.ghost)] : [lines(card.ghost, true), lines(parts.map((p) => p.data), false)];
    const box = el(card.section ? "section" : "li", { class: `step ${status === "committed" ? "firm" : "loose"}`, "data-status": status });
    box.append(el("h3", {}, el("span", {}, card.title), chips), ...body);
    if (card.box) card.box.replaceWith(box);
    else (card.section ? $("report") : $("steps")).append(box);
    card.box = box;
  }
  $("empty").hidden = $("report").childElementCount > 0;
}

/** What a step of looking has streamed, a line each. */
function lines(list, gone) {
  const ul = el("ul");
  for (const data of list) {
    let line;
    if (typeof data?.note === "string") line = [el("q", {}, data.note), " ", el("cite", {}, String(data.source))];
    else if (typeof data?.line === "string") line = [data.line];
    else if (data?.begin) continue;
    else line = [typeof data === "string" ? data : JSON.stringify(data)];
    ul.append(el("li", {}, ...(gone ? [el("del", {}, ...line)] : line)));
  }
  return ul;
}

/** What a step of writing has streamed, as running text. */
function prose(parts, ghost) {
  const text = (list) => list.filter((d) => typeof d === "string").join("");
  const p = el("p");
  if (text(ghost)) p.append(el("del", {}, text(ghost)), " ");
  p.append(text(parts.map((part) => part.data)));
  return p;
}

/** What is streamed outside of steps tells where the run is. */
function outside(data) {
  if (typeof data?.asked === "string") $("run-title").textContent = data.asked;
  if (data?.plan && !tracks.plan) {
    tracks.plan = data.plan;
    if (data.plan.approve && Array.isArray(data.plan.questions)) {
      $("plan").replaceChildren(
        ...data.plan.questions.map((text, i) => el("label", {}, el("input", { type: "checkbox", name: "keep", value: i, checked: "" }), ` ${text}`)),
      );
      $("approval").hidden = tracks.answered;
    }
  }
  if (data?.approved) {
    tracks.answered = true;
    $("approval").hidden = true;
  }
}

/** Sends what the reader says to the plan, until the stream says that it was heard. */
async function answer(approved) {
  const run = tracks;
  const keep = [...document.querySelectorAll("input[name=keep]:checked")].map((box) => Number(box.value));
  for (const button of [$("yes"), $("no")]) button.disabled = true;
  while (!run.answered && run === tracks && !["done", "failed", "gone"].includes(run.state)) {
    $("sent").textContent = "Told.";
    try {
      const res = await post("/answer", { id: run.plan.id, approved, keep });
      if (!res.ok) $("sent").textContent = "Not heard yet; it is sent again.";
    } catch {
      $("sent").textContent = "Not heard yet; it is sent again.";
    }
    await new Promise((done) => setTimeout(done, 2000));
  }
  for (const button of [$("yes"), $("no")]) button.disabled = false;
}

const post = (path, body, headers = {}) =>
  fetch(path, { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) });

/** The run has its answer. */
function ended(from, { status, response }) {
  log(from, "answer", `${response.statusCode}`, status === "succeeded" ? "good" : "bad");
  $("approval").hidden = true;
  tracks.answered = true;
  let got;
  try {
    got = JSON.parse(response.body);
  } catch {
    got = response.body;
  }
  if (status !== "succeeded" || response.statusCode >= 400) {
    const why = got?.errors?.join(", ") ?? got?.error?.message ?? got?.message ?? got;
    return state("failed", typeof why === "string" ? why : JSON.stringify(why));
  }
  draw();
  // Who comes late has not seen what the app sent its own client: the answer has it.
  const written = new Map([...cards.values()].filter((card) => card.section).map((card) => [card.title, card]));
  for (const { heading, text } of got.sections ?? []) {
    if (written.has(heading)) continue;
    $("report").append(el("section", { class: "step firm" }, el("h3", {}, el("span", {}, heading), el("span", { class: "chips" }, el("span", { class: "chip" }, "of the answer"))), el("p", {}, text)));
  }
  $("empty").hidden = $("report").childElementCount > 0;
  if (got.question) $("run-title").textContent = got.question;
  $("sources").hidden = !got.sources?.length;
  $("sources").querySelector("ol").replaceChildren(...(got.sources ?? []).map(({ title, at }) => el("li", {}, `${title} `, el("cite", {}, at))));
  state("done", got.reason ?? "");
}

const streamOf = (token) => `${pawl}/v1/realtime/sse?token=${encodeURIComponent(token)}`;

/** Reads on at Pawl. */
function background(token) {
  tracks.where = "background";
  $("result").href = streamOf(token);
  $("result").hidden = false;
  state("background");
  stop();
  stop = follow(streamOf(token), transcript, {
    onOpen: () => {
      log("pawl", "connected", "");
      state("background", "You may close this page, and open it again at the same address.");
    },
    onLost: () => {
      if (tracks.state !== "lost") log("pawl", "lost", "", "bad");
      state("lost", "Pawl cannot be reached. The run goes on when it is back.");
    },
    onGone: (status) => state("gone", `Pawl says ${status}: this stream is not to be had.`),
    onVoid: (parts, why) => voided("pawl", parts, why),
    onEvent: (name, data) => {
      came("pawl", name, data);
      if (name === "inngest.response") {
        stop();
        ended("pawl", data);
      }
    },
  });
}

/** Asks the endpoint, and shows what it streams. */
async function research(ask, trouble) {
  begin(ask.question);
  history.replaceState(null, "", location.pathname);
  state("request");
  const run = tracks;
  let token; // to read on with
  let last; // the answer
  let wrong;
  const aborter = new AbortController();
  stop = () => aborter.abort();
  try {
    if (trouble) await post("/behaviour", { after: 3, down: 1 });
    const res = await fetch("/research", {
      method: "POST",
      headers: { "content-type": "application/json", accept: "text/event-stream" },
      body: JSON.stringify(ask),
      signal: aborter.signal,
    });
    if (!res.headers.get("content-type")?.includes("text/event-stream")) throw new Error(`${res.status} ${(await res.text()).slice(0, 300)}`);
    for await (const { name, data } of events(res.body)) {
      if (run !== tracks) return;
      if (name === "inngest.redirect_info") {
        token = new URL(data.url).searchParams.get("token");
        history.replaceState(null, "", `#stream=${encodeURIComponent(token)}`);
        log("app", "redirect", "where it can be read from now on");
        continue;
      }
      voided("app", transcript.take("app", name, data), "rollback");
      came("app", name, data);
      if (name === "inngest.response") last = data;
    }
  } catch (err) {
    wrong = err;
  }
  if (run !== tracks) return;
  if (last?.status === "succeeded" || (last && !token)) return ended("app", last);
  // The run has left its request, or the app has died, or lost Pawl: whichever it is,
  // Pawl knows what becomes of it.
  voided("app", transcript.broken(), "broken");
  if (token) {
    log("app", wrong ? "broken off" : "left the request", "", wrong ? "bad" : "later");
    return background(token);
  }
  state("refused", `The request broke off before the first step was saved, so nobody knows of it. Ask again. (${wrong?.message ?? "no answer"})`);
}

$("form").addEventListener("submit", (e) => {
  e.preventDefault();
  const form = new FormData(e.target);
  const ask = { question: form.get("question"), depth: form.get("depth"), approve: form.has("approve") && form.get("depth") === "deep" };
  research(ask, form.has("trouble"));
});
$("approval").addEventListener("submit", (e) => {
  e.preventDefault();
  answer(true);
});
$("no").addEventListener("click", () => answer(false));

/** Opens the run that the address names. */
function arrive() {
  const token = new URLSearchParams(location.hash.slice(1)).get("stream");
  if (!token) return;
  begin("A question that was asked before");
  background(token);
}
addEventListener("hashchange", arrive);
arrive();
