import createClient, { type Middleware } from "openapi-fetch";
import { parseExact, write } from "@/lib/json";
import { base, fetchOnce, queryText } from "./ask";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
export type Row = Schemas["Row"];
export type Span = Schemas["Span"];

export const api = createClient<paths>({
  baseUrl: base,
  querySerializer: queryText,
  fetch: fetchOnce,
  bodySerializer: (body) => write(body, 0),
});

/** What the server says is wrong. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

const refusals: Middleware = {
  async onResponse({ response }) {
    if (response.ok) return;
    const body = await response
      .clone()
      .json()
      .catch(() => undefined);
    const message = body?.error ?? body?.errors?.[0]?.message ?? `The server answered ${response.status}`;
    throw new ApiError(response.status, message);
  },
};
api.use(refusals);

/** The data of an answer of the v1 API. */
export async function data<T>(call: Promise<{ data?: { data: T } }>): Promise<T> {
  const answer = await call;
  if (!answer.data) throw new ApiError(0, "The server answered with nothing");
  return answer.data.data;
}

/** The same for what has payloads in it: their numbers stay as they were written. */
export async function exact<T>(call: Promise<{ data?: string }>): Promise<T> {
  const answer = await call;
  if (!answer.data) throw new ApiError(0, "The server answered with nothing");
  return (parseExact(answer.data) as { data: T }).data;
}
