import { infiniteQueryOptions, QueryClient, queryOptions } from "@tanstack/react-query";
import { runsAsked, type Search } from "./ask";
import { watchAnswers } from "./away";
import { ApiError, api, data, exact, type Schemas } from "./client";

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      // The stream of changes says when something is old; nothing is asked for again by itself.
      staleTime: Number.POSITIVE_INFINITY,
      gcTime: 5 * 60_000,
      refetchOnWindowFocus: false,
      refetchOnReconnect: false,
      retry: (failures, error) => failures < 2 && !(error instanceof ApiError && error.status < 500 && error.status > 0),
    },
  },
});

watchAnswers(queryClient);

const searchRuns = (search: Search, cursor?: string, signal?: AbortSignal) =>
  data(
    api.GET("/v1/runs/search", {
      signal,
      params: {
        query: runsAsked(search, cursor),
      },
    }),
  );

/** How long the first page of a list may take that is there already, in milliseconds. */
const patience = 30_000;

export const firstPage = (search: Search) => searchRuns(search, undefined, AbortSignal.timeout(patience));

export const runsQuery = (search: Search) =>
  infiniteQueryOptions({
    queryKey: ["runs", search],
    queryFn: ({ pageParam, signal }) => searchRuns(search, pageParam, signal),
    initialPageParam: "",
    getNextPageParam: (last: Schemas["Found"]) => last.cursor || undefined,
  });

export const overviewQuery = queryOptions({ queryKey: ["overview"], queryFn: ({ signal }) => data(api.GET("/v1/overview", { signal })) });
export const serverQuery = queryOptions({ queryKey: ["server"], queryFn: ({ signal }) => data(api.GET("/v1/server", { signal })) });
export const meQuery = queryOptions({ queryKey: ["me"], queryFn: ({ signal }) => data(api.GET("/v1/me", { signal })) });
export const appsQuery = queryOptions({ queryKey: ["apps"], queryFn: ({ signal }) => data(api.GET("/v1/apps", { signal })) });
export const controlsQuery = queryOptions({ queryKey: ["controls"], queryFn: ({ signal }) => data(api.GET("/v1/controls", { signal })) });
/** What a function is configured with, which an app's next sync may change. */
export const configQuery = (app: string, id: string) =>
  queryOptions({
    queryKey: ["apps", "config", app, id],
    queryFn: async ({ signal }) =>
      (await api.GET("/v2/apps/{app}/functions/{function}", { signal, params: { path: { app, function: id } } })).data!.data,
  });
export const schedulesQuery = queryOptions({
  queryKey: ["apps", "schedules"],
  queryFn: ({ signal }) => data(api.GET("/v1/schedules", { signal, params: { query: { limit: 500 } } })),
});

const run = (id: string) => ({ path: { run: id } });

/** A run with all its steps. After the first time only what has changed is asked for. */
export const traceQuery = (id: string) =>
  queryOptions({
    queryKey: ["run", id, "trace"],
    queryFn: async ({ signal }): Promise<Schemas["Trace"]> => {
      const known = queryClient.getQueryData<Schemas["Trace"]>(["run", id, "trace"]);
      const news = await data(api.GET("/v1/runs/{run}/trace", { signal, params: { ...run(id), query: { after: known?.seq } } }));
      return known ? merge(known, news) : news;
    },
  });

/** A trace with the steps of a later one in place of its own. */
export function merge(known: Schemas["Trace"], news: Schemas["Trace"]): Schemas["Trace"] {
  const changed = new Map(news.steps.map((s) => [s.step, s]));
  const steps = known.steps.map((s) => {
    const newer = changed.get(s.step);
    changed.delete(s.step);
    return newer ?? s;
  });
  return { ...news, steps: [...steps, ...changed.values()] };
}

export const linksQuery = (id: string) =>
  queryOptions({
    queryKey: ["run", id, "links"],
    queryFn: ({ signal }) => exact<Schemas["Links"]>(api.GET("/v1/runs/{run}/links", { signal, params: run(id), parseAs: "text" })),
  });
export const whyQuery = (id: string, version: string) =>
  queryOptions({
    queryKey: ["run", id, "why", version],
    queryFn: ({ signal }) => data(api.GET("/v1/runs/{run}/why", { signal, params: run(id) })),
  });
export const stepQuery = (id: string, step: string, version: string) =>
  queryOptions({
    queryKey: ["step", id, step, version],
    queryFn: ({ signal }) =>
      exact<Schemas["Step"]>(api.GET("/v1/runs/{run}/steps/{step}", { signal, params: { path: { run: id, step } }, parseAs: "text" })),
  });
export const exchangeQuery = (id: string, n: number) =>
  queryOptions({
    queryKey: ["exchange", id, n],
    queryFn: ({ signal }) => data(api.GET("/v1/runs/{run}/exchanges/{n}", { signal, params: { path: { run: id, n: String(n) } } })),
  });

export const lettersQuery = (query: { fingerprint?: string; function?: string; state?: "open" | "retried" | "discarded" | "all" }) =>
  infiniteQueryOptions({
    queryKey: ["letters", "list", query],
    queryFn: ({ pageParam, signal }) =>
      data(api.GET("/v1/dead-letters", { signal, params: { query: { ...query, limit: 100, cursor: pageParam || undefined } } })),
    initialPageParam: "",
    getNextPageParam: (last: Schemas["Letter"][]) => (last.length === 100 ? last.at(-1)?.run_id : undefined),
  });
export const groupsQuery = (state: "open" | "all") =>
  infiniteQueryOptions({
    queryKey: ["letters", "groups", state],
    queryFn: ({ pageParam, signal }) =>
      data(api.GET("/v1/dead-letters/groups", { signal, params: { query: { state, limit: 100, cursor: pageParam || undefined } } })),
    initialPageParam: "",
    getNextPageParam: (last: Schemas["GroupTrend"][]) => (last.length === 100 ? last.at(-1)?.cursor : undefined),
  });
export const groupQuery = (fingerprint: string) =>
  queryOptions({
    queryKey: ["letters", "group", fingerprint],
    queryFn: ({ signal }) => data(api.GET("/v1/dead-letters/groups/{fingerprint}", { signal, params: { path: { fingerprint } } })),
  });
export const jobsQuery = queryOptions({
  queryKey: ["letters", "jobs"],
  queryFn: ({ signal }) => data(api.GET("/v1/dead-letters/jobs", { signal, params: { query: { limit: 20 } } })),
});

/** The runs of a bulk retry that failed again. */
export const failedAgainQuery = (id: string, failed: number) =>
  infiniteQueryOptions({
    queryKey: ["letters", "jobs", id, "failed", failed],
    queryFn: ({ pageParam, signal }) =>
      data(
        api.GET("/v1/dead-letters/jobs/{id}/runs", {
          signal,
          params: { path: { id }, query: { status: "Failed", limit: 50, cursor: pageParam || undefined } },
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (last: Schemas["RetriedRun"][]) => (last.length === 50 ? last.at(-1)?.run_id : undefined),
  });

export const eventsQuery = (query: { name?: string; hours: number }) =>
  infiniteQueryOptions({
    queryKey: ["events", "list", query],
    queryFn: ({ pageParam, signal }) =>
      exact<Schemas["Event"][]>(
        api.GET("/v1/events", {
          signal,
          parseAs: "text",
          params: {
            query: {
              name: query.name || undefined,
              limit: 50,
              cursor: pageParam || undefined,
              received_after: new Date(Date.now() - query.hours * 3_600_000).toISOString(),
            },
          },
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (last: Schemas["Event"][]) => (last.length === 50 ? last.at(-1)?.internal_id : undefined),
  });
/** What the newest events of some names have in their data. It is asked for anew when a page is opened after a minute. */
export const shapeQuery = (names: string[]) =>
  queryOptions({
    queryKey: ["shape", names],
    queryFn: ({ signal }) => data(api.GET("/v1/events/shape", { signal, params: { query: { name: names.slice(0, 5) } } })),
    enabled: names.length > 0,
    staleTime: 60_000,
    retry: false,
  });
export const versionsQuery = (slug: string) =>
  queryOptions({
    queryKey: ["apps", "versions", slug],
    queryFn: ({ signal }) =>
      exact<Schemas["Version"][]>(api.GET("/v1/functions/{slug}/versions", { signal, params: { path: { slug } }, parseAs: "text" })),
  });
/** An event. It stays as it is, but for what it waits for, which becomes less. */
export const eventQuery = (id: string) =>
  queryOptions<Schemas["EventDetail"]>({
    queryKey: ["event", id],
    queryFn: ({ signal }) =>
      exact<Schemas["EventDetail"]>(api.GET("/v1/events/{event}", { signal, params: { path: { event: id } }, parseAs: "text" })),
  });
export const eventRunsQuery = (id: string) =>
  queryOptions({
    queryKey: ["runs-of-event", id],
    queryFn: ({ signal }) => data(api.GET("/v1/runs/search", { signal, params: { query: { event_id: id, limit: 200 } } })),
  });

export const auditQuery = infiniteQueryOptions({
  queryKey: ["audit"],
  queryFn: ({ pageParam, signal }) =>
    data(api.GET("/v1/audit", { signal, params: { query: { limit: 100, cursor: pageParam || undefined } } })),
  initialPageParam: "",
  getNextPageParam: (last: Schemas["Act"][]) => (last.length === 100 ? last.at(-1)?.cursor : undefined),
});
