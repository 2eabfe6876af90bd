// How the server is asked, for the dashboard and for what is drawn before it is there.

/** Where the server is: the page's base, which knows a path prefix. */
export const base = new URL(".", document.baseURI).href.replace(/\/$/, "");

/** What a list of runs is asked for. */
export type Search = {
  status?: string[];
  function?: string[];
  app?: string[];
  event?: string;
  event_id?: string;
  data?: string[];
  error?: string;
  from?: string;
  until?: string;
};

type RunStatus = "QUEUED" | "RUNNING" | "COMPLETED" | "FAILED" | "CANCELLED" | "SKIPPED";

export const pageOfRuns = 100;

/** The pages after the first, which somebody is on the way to. */
const pageOfMoreRuns = 200;

/** A page of a list of runs, as the API wants it. */
export const runsAsked = (search: Search, cursor?: string) => ({
  ...search,
  status: search.status?.map((s) => s.toUpperCase() as RunStatus),
  limit: cursor ? pageOfMoreRuns : pageOfRuns,
  cursor: cursor || undefined,
});

/** The query of a URL; a list is there once for each of its values. */
export function queryText(query: Record<string, unknown>): string {
  const text = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) for (const one of [value].flat()) if (one != null) text.append(key, String(one));
  return text.toString();
}

const asked = new Map<string, Promise<Response>>();

/** Asks for what the dashboard will ask for when it is there; it gets the same answer then. */
export async function askAhead(url: string): Promise<Response> {
  const answer = fetch(url);
  asked.set(url, answer);
  return (await answer).clone();
}

/** Fetches, unless that was done ahead. */
export function fetchOnce(request: Request): Promise<Response> {
  const answer = asked.get(request.url);
  asked.delete(request.url);
  return answer ?? fetch(request);
}

/** Lets go of what was asked for ahead and not used: it becomes old. */
export const forgetAhead = () => asked.clear();
