import type { QueryClient } from "@tanstack/react-query";
import { api } from "./client";

/** Nothing came back: nobody knows whether the request arrived. */
export class Unreachable extends Error {
  constructor() {
    super("The server cannot be reached. As far as is known here, nothing was changed.");
  }
}

/** Tells apart what never reached the server, and reads anew who one is when the server refuses something. */
export function watchAnswers(queries: QueryClient) {
  api.use({
    onError: ({ error }) => (error instanceof Error && error.name === "AbortError" ? undefined : new Unreachable()),
    onResponse: ({ response }) => {
      // The role may have changed since the page was opened.
      if (response.status === 403) void queries.invalidateQueries({ queryKey: ["me"] });
    },
  });
}
