// Reading the stream of a durable endpoint: first from the app, in the request itself,
// and then from Pawl, from wherever the run goes on.

/** The server-sent events of a response. */
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    buffer += value;
    const whole = buffer.split("\n\n");
    buffer = whole.pop();
    for (const text of whole) {
      let name = "message";
      let data = "";
      for (const line of text.split("\n")) {
        if (line.startsWith("event: ")) name = line.slice(7);
        if (line.startsWith("data: ")) data += line.slice(6);
      }
      if (data) yield { name, data: JSON.parse(data) };
    }
  }
}

/**
 * All that has been streamed and holds. A part is {step, data, from, committed, safe}:
 * step is null outside of steps, from is "app" or "pawl", and safe means that Pawl does
 * not send it again to a reader who comes back.
 */
export class Transcript {
  parts = [];

  of(step) {
    return this.parts.filter((p) => p.step === step);
  }

  /** Takes an event, and returns the parts that it made void. */
  take(from, name, { data, hashedStepId: step = null }) {
    switch (name) {
      case "inngest.stream": {
        // What Pawl sends of a step stands in the place of what the app has sent of it.
        const void_ = from === "pawl" ? this.#drop((p) => p.step === step && p.from === "app") : [];
        this.parts.push({ step, data, from, committed: false, safe: false });
        return void_;
      }
      case "inngest.commit":
        for (const p of this.of(step)) p.committed = true;
        return [];
      case "inngest.rollback": // even when it was committed before
        return this.#drop((p) => p.step === step);
      default:
        return [];
    }
  }

  /** The request has broken off: what was not committed by then is void. */
  broken() {
    return this.#drop((p) => p.from === "app" && p.step !== null && !p.committed);
  }

  /** Pawl has a new place for this reader: it will not send again what holds so far. */
  place() {
    for (const p of this.parts) p.safe ||= p.from === "pawl" && (p.committed || p.step === null);
  }

  /** The connection to Pawl is a new one: it sends again all that is not safe. */
  again() {
    return this.#drop((p) => p.from === "pawl" && !p.safe);
  }

  /** It is a new one that knows of no place: Pawl sends all again. */
  afresh() {
    return this.#drop((p) => p.from === "pawl");
  }

  #drop(which) {
    const gone = this.parts.filter(which);
    if (gone.length > 0) this.parts = this.parts.filter((p) => !gone.includes(p));
    return gone;
  }
}

const names = ["inngest.metadata", "inngest.stream", "inngest.commit", "inngest.rollback", "inngest.response", "pawl.incomplete"];

/**
 * Follows a stream at Pawl until its answer has come, over whatever breaks. The
 * browser's EventSource connects again by itself, and says where it was: an event's
 * lastEventId. The mark of a new place is no event, so it shows at the next one.
 */
export function follow(url, transcript, { onOpen, onLost, onGone, onVoid, onEvent }) {
  let source;
  let timer;
  let stopped = false;

  const stop = () => {
    stopped = true;
    clearTimeout(timer);
    source?.close();
  };
  const open = () => {
    let place = "";
    let fresh = true; // nothing has come on this connection
    onVoid(transcript.afresh(), "again");
    source = new EventSource(url);
    source.onopen = () => {
      fresh = true;
      onOpen();
    };
    source.onerror = () => {
      if (stopped) return;
      onLost();
      if (source.readyState === EventSource.CLOSED) timer = setTimeout(ask, 1000);
    };
    for (const name of names) {
      source.addEventListener(name, (e) => {
        if (stopped) return;
        if (e.lastEventId !== place) {
          place = e.lastEventId;
          transcript.place();
        }
        if (fresh) {
          fresh = false;
          onVoid(transcript.again(), "again");
        }
        const data = JSON.parse(e.data);
        onVoid(transcript.take("pawl", name, data), name === "inngest.rollback" ? "rollback" : "again");
        onEvent(name, data);
      });
    }
  };
  // An EventSource that was refused does not try again, nor does it say why.
  const ask = async () => {
    const aborter = new AbortController();
    try {
      const res = await fetch(url, { signal: aborter.signal });
      if (stopped) return;
      if (res.status >= 400 && res.status < 500 && res.status !== 429) return onGone(res.status);
      if (res.ok) return open();
    } catch {
      // It is away.
    } finally {
      aborter.abort();
    }
    if (!stopped) timer = setTimeout(ask, 1000);
  };
  open();
  return stop;
}
