import { ApiError, api, data } from "./client";
import { once, seed } from "./intent";
import { queryClient } from "./queries";

// What people do. Each says to the queries what it has made old; the rest the stream
// of changes does.

const fresh = (...keys: unknown[][]) => {
  for (const queryKey of keys) void queryClient.invalidateQueries({ queryKey });
};

const header = (key: string) => ({ "Idempotency-Key": key });

export async function cancelRun(run: string) {
  await api.DELETE("/v1/runs/{run}", { params: { path: { run } }, parseAs: "text" });
  fresh(["run", run]);
}

export async function rerun(
  run: string,
  how: { step?: string; input?: unknown[]; output?: unknown; data?: unknown } = {},
): Promise<string> {
  const body = {
    ...(how.step
      ? { fromStep: { stepId: how.step, ...(how.input ? { input: how.input } : {}), ...("output" in how ? { output: how.output } : {}) } }
      : {}),
    ...(how.data === undefined ? {} : { data: how.data }),
  };
  const answer = await once(["rerun", run, body], (key) =>
    data(api.POST("/v1/runs/{run}/rerun", { params: { path: { run }, header: header(key) }, body: body as never })),
  );
  fresh(["run", run, "links"]);
  return answer.run_id;
}

export async function retryLetter(run: string, edited?: unknown): Promise<string> {
  const body = edited === undefined ? {} : { data: edited };
  const answer = await once(["retry", run, body], (key) =>
    data(
      api.POST("/v1/dead-letters/{run}/{action}", {
        params: { path: { run, action: "retry" }, header: header(key) },
        body: body as never,
      }),
    ),
  );
  fresh(["letters"], ["run", run, "links"]);
  return (answer as unknown as { run_id: string }).run_id;
}

export async function discardLetter(run: string, reason: string) {
  await api.POST("/v1/dead-letters/{run}/{action}", { params: { path: { run, action: "discard" } }, body: { reason } as never });
  fresh(["letters"], ["run", run, "links"]);
}

export async function retryMany(which: { function?: string; fingerprint?: string; all?: boolean }, rate: string, first: number) {
  const body = { ...which, rate, first };
  const job = await once(["retry-many", body], (key) =>
    data(api.POST("/v1/dead-letters/retry", { params: { header: header(key) }, body: body as never })),
  );
  fresh(["letters"]);
  return job;
}

export async function discardMany(which: { function?: string; fingerprint?: string; all?: boolean }, reason: string) {
  const body = { ...which, reason };
  const job = await once(["discard-many", body], (key) =>
    data(api.POST("/v1/dead-letters/discard", { params: { header: header(key) }, body: body as never })),
  );
  fresh(["letters"]);
  return job;
}

export async function stopJob(id: string) {
  await api.DELETE("/v1/dead-letters/jobs/{id}", { params: { path: { id } } });
  fresh(["letters"]);
}

export async function pause(name: string, hold: "starts" | "all", reason: string) {
  const app = name.startsWith("app/") ? name.slice(4) : undefined;
  if (app) await api.POST("/v1/apps/{app}/pause", { params: { path: { app } }, body: { hold, reason } });
  else await api.POST("/v1/functions/{slug}/pause", { params: { path: { slug: name } }, body: { hold, reason } });
  fresh(["controls"], ["overview"]);
}

/** Lets a function or an app go on: all of it, or what has one value of a key. It says what is so when that was not paused. */
export async function resume(name: string, one?: { key: string; value: string }): Promise<string | undefined> {
  const app = name.startsWith("app/") ? name.slice(4) : undefined;
  const { note } = await data(
    app
      ? api.POST("/v1/apps/{app}/resume", { params: { path: { app } }, body: {} })
      : api.POST("/v1/functions/{slug}/resume", { params: { path: { slug: name } }, body: one ?? {} }),
  );
  fresh(["controls"], ["overview"]);
  return note;
}

export async function setLimits(slug: string, limits: unknown, reason: string) {
  await api.PUT("/v1/functions/{slug}/limits", { params: { path: { slug } }, body: { limits, reason } as never });
  fresh(["controls"], ["function"]);
}

/** Starts a run of a function, and answers with the event that stands for it. */
export async function invoke(app: string, id: string, input: unknown): Promise<string> {
  const answer = await once(["invoke", app, id, input], (key) =>
    api
      .POST("/v2/apps/{app}/functions/{function}/invoke", {
        params: { path: { app, function: id } },
        body: { data: input, idempotencyKey: key } as never,
      })
      .catch((error) => {
        if (!(error instanceof ApiError && error.status === 409)) throw error;
        throw new ApiError(409, "It was started before, by a request whose answer did not come: its run is in the list.");
      }),
  );
  return (answer.data as unknown as { data: { runId: string } }).data.runId;
}

export async function sendEvent(event: unknown): Promise<string> {
  const answer = await once(
    ["send", event],
    (key) => api.POST("/v2/events", { body: event as never, headers: { "x-inngest-event-id-seed": key } }),
    seed,
  );
  fresh(["events"]);
  return (answer.data as unknown as { data: { eventId: string } }).data.eventId;
}

export async function syncApp(app: string, url: string) {
  await api.POST("/v2/apps/{app}/syncs", { params: { path: { app } }, body: { url } as never });
  fresh(["apps"]);
}

export async function addSchedule(schedule: { function: string; cron: string; data?: unknown; id?: string }) {
  await once(["schedule", schedule], () => api.POST("/v1/schedules", { body: schedule as never }));
  fresh(["apps", "schedules"]);
}

export async function removeSchedule(id: string) {
  await api.DELETE("/v1/schedules/{id}", { params: { path: { id } } });
  fresh(["apps", "schedules"]);
}

export const logIn = (name: string, password: string) => api.POST("/v1/login", { body: { name, password } });
export const makeFirstAdmin = (token: string, name: string, password: string) => api.POST("/v1/setup", { body: { token, name, password } });
export const logOut = () => api.POST("/v1/logout");
