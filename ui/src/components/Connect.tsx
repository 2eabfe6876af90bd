import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { serverQuery } from "@/api/queries";
import { shown } from "@/lib/text";
import { Card, Code, Tabs } from "./layout";
import { Spinner } from "./Spinner";

type Language = "typescript" | "python" | "go";

/**
 * How a first app is connected, by language. What stands here runs as it is; in serve, once
 * the shell has the keys in PAWL_EVENT_KEY and PAWL_SIGNING_KEY.
 */
function steps(url: string, dev: boolean): Record<Language, { title: string; code: string }[]> {
  const keys = `INNGEST_BASE_URL=${url} INNGEST_EVENT_KEY="$PAWL_EVENT_KEY" INNGEST_SIGNING_KEY="$PAWL_SIGNING_KEY"`;
  const env = dev ? `INNGEST_DEV=${url}` : `INNGEST_DEV=0 ${keys}`;
  return {
    typescript: [
      { title: "Install the SDK", code: "npm init -y && npm install inngest@4" },
      {
        title: "Write app.mjs",
        code: `import { createServer } from "node:http";
import { Inngest } from "inngest";
import { serve } from "inngest/node";

const inngest = new Inngest({ id: "shop" });

const welcome = inngest.createFunction(
  { id: "welcome", triggers: [{ event: "user/signed-up" }] },
  async ({ event, step }) => {
    const name = await step.run("look-up", () => event.data.name);
    await step.sleep("a-moment", "2s");
    return step.run("greet", () => \`Hello, \${name}!\`);
  },
);

createServer(serve({ client: inngest, functions: [welcome] })).listen(3000);`,
      },
      { title: "Start it", code: `${env} node app.mjs` },
    ],
    python: [
      { title: "Install the SDK", code: "pip install inngest fastapi uvicorn" },
      {
        title: "Write app.py",
        code: `import inngest
import inngest.fast_api
from datetime import timedelta
from fastapi import FastAPI

client = inngest.Inngest(app_id="shop")

@client.create_function(fn_id="welcome", trigger=inngest.TriggerEvent(event="user/signed-up"))
async def welcome(ctx: inngest.Context) -> str:
    async def look_up() -> str:
        return str(ctx.event.data["name"])

    name = await ctx.step.run("look-up", look_up)
    await ctx.step.sleep("a-moment", timedelta(seconds=2))
    return f"Hello, {name}!"

app = FastAPI()
inngest.fast_api.serve(app, client, [welcome])`,
      },
      { title: "Start it", code: `${env} uvicorn app:app --port 8000` },
    ],
    go: [
      { title: "Get the SDK", code: "go mod init shop && go get github.com/pawlhq/pawl" },
      {
        title: "Write main.go",
        code: `package main

import (
	"context"
	"net/http"
	"time"

	"github.com/pawlhq/pawl"
)

type signedUp struct {
	Name string \`json:"name"\`
}

func welcome(ctx context.Context, user signedUp) (string, error) {
	name, err := pawl.Run(ctx, "look-up", func(context.Context) (string, error) {
		return user.Name, nil
	})
	if err != nil {
		return "", err
	}
	if err := pawl.Sleep(ctx, "a-moment", 2*time.Second); err != nil {
		return "", err
	}
	return pawl.Run(ctx, "greet", func(context.Context) (string, error) {
		return "Hello, " + name + "!", nil
	})
}

func main() {
	app := pawl.New("shop")
	pawl.Func(app, "welcome", welcome, pawl.OnName("user/signed-up"))
	panic(http.ListenAndServe(":3000", app))
}`,
      },
      { title: "Start it", code: `${env} go run .` },
    ],
  };
}

/** Where the app of the steps serves its functions. */
const places: Record<Language, string> = {
  typescript: "http://localhost:3000/api/inngest",
  python: "http://localhost:8000/api/inngest",
  go: "http://localhost:3000/api/inngest",
};

const names: Record<Language, string> = { typescript: "TypeScript", python: "Python", go: "Go" };

export function Connect() {
  const server = useQuery(serverQuery);
  const [language, setLanguage] = useState<Language>("typescript");
  const dev = server.data?.dev ?? true;
  const url = location.origin;
  const list = steps(url, dev)[language];
  const looks = server.data?.discovery ?? false;
  const key = dev ? "key" : '"$PAWL_EVENT_KEY"';
  const register = {
    title: looks ? "Pawl finds it there by itself; elsewhere, let it register" : "Let it register",
    // What nobody has signed, not every SDK takes where there are keys: there the server asks.
    code: dev
      ? `curl -X PUT ${places[language]}`
      : `curl ${url}/v2/apps/shop/syncs \\
  -H "Authorization: Bearer $PAWL_SIGNING_KEY" -H 'Content-Type: application/json' \\
  -d '{"url":"${places[language]}"}'`,
  };
  const event = `curl ${url}/e/${key} \\
  -d '{"name":"user/signed-up","data":{"name":"Ada"}}'`;
  return (
    <div className="grid gap-4 lg:grid-cols-[minmax(0,2fr)_minmax(0,1fr)]">
      <Card
        title="Connect an app"
        aside={
          <Tabs
            label="Language"
            value={language}
            onChange={setLanguage}
            tabs={(Object.keys(names) as Language[]).map((value) => ({ value, label: names[value] }))}
          />
        }
      >
        <ol className="space-y-5">
          {[...list, register, { title: "Send it an event", code: event }].map((step, i) => (
            <li key={step.title} className="grid grid-cols-[1.5rem_minmax(0,1fr)] gap-x-3">
              <span
                className="tabular flex size-6 items-center justify-center rounded-full bg-accent-wash text-xs font-semibold text-accent"
                aria-hidden="true"
              >
                {i + 1}
              </span>
              <div className="min-w-0">
                <h3 className="mb-2 pt-0.5 text-sm font-medium">{step.title}</h3>
                <Code>{step.code}</Code>
              </div>
            </li>
          ))}
        </ol>
      </Card>
      <div className="space-y-4">
        <Card title="Waiting for an app">
          <div className="flex gap-3 text-sm">
            <Spinner />
            <div className="min-w-0 text-soft">
              {looks ? (
                <>
                  <p>Pawl looks for an app on this machine until it knows one:</p>
                  <dl className="mt-3 space-y-2">
                    <dt className="text-xs text-faint">Ports</dt>
                    <dd className="font-mono text-xs break-words">{server.data?.ports}</dd>
                    <dt className="text-xs text-faint">Paths</dt>
                    <dd className="font-mono text-xs break-words">{server.data?.paths.join("  ")}</dd>
                  </dl>
                  <p className="mt-3">Elsewhere, an app registers when it is asked to, with step 4, or Pawl is told where it is:</p>
                </>
              ) : dev ? (
                <p>
                  Pawl does not look for apps: it was started with --no-discovery. An app registers with step 4, or Pawl is told where it
                  is:
                </p>
              ) : (
                <p>
                  An app registers with step 4, if it has this server's signing key and can be reached from here. Its first sync shows here.
                  Or Pawl is told where it is when it starts:
                </p>
              )}
              <p className="mt-3">
                <code className="font-mono text-xs break-words">pawl {dev ? "dev" : "serve"} --app http://localhost:4000/api/inngest</code>
              </p>
            </div>
          </div>
        </Card>
        {(server.data?.unsynced.length ?? 0) > 0 && (
          <Card title="Asked, and not connected yet">
            <ul className="space-y-2 text-sm">
              {server.data?.unsynced.map((u) => (
                <li key={u.url} className="min-w-0">
                  <code className="font-mono text-xs break-all">{shown(u.url)}</code>
                  <span className={`block text-xs ${u.problem ? "text-bad" : "text-faint"}`}>
                    {u.problem ? shown(u.problem) : "nothing listens there yet"}
                  </span>
                </li>
              ))}
            </ul>
          </Card>
        )}
      </div>
    </div>
  );
}
