import{r as e}from"./rolldown-runtime-XKyaHtl9.js";import{Zt as t,_n as n,ct as r,gn as i,mn as a,mt as o,ot as s}from"./main-D3NXvGNM.js";import{_ as c}from"./first-DZgZRHl5.js";var l=e(n(),1),u=i(),d=()=>(0,u.jsxs)(`svg`,{viewBox:`0 0 20 20`,className:`mt-0.5 size-5 shrink-0 animate-spin text-accent motion-reduce:animate-none`,"aria-hidden":`true`,fill:`none`,strokeWidth:`2`,children:[(0,u.jsx)(`circle`,{cx:`10`,cy:`10`,r:`7.5`,className:`stroke-line`}),(0,u.jsx)(`path`,{d:`M10 2.5a7.5 7.5 0 0 1 7.5 7.5`,stroke:`currentColor`,strokeLinecap:`round`})]});function f(e,t){let n=`INNGEST_BASE_URL=${e} INNGEST_EVENT_KEY="$PAWL_EVENT_KEY" INNGEST_SIGNING_KEY="$PAWL_SIGNING_KEY"`,r=t?`INNGEST_DEV=${e}`:`INNGEST_DEV=0 ${n}`;return{typescript:[{title:`Install the SDK`,code:`npm init -y && npm install inngest@4`},{title:`Write app.mjs`,code:`import { createServer } from "node:http";
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

createServer(serve({ client: inngest, functions: [welcome] })).listen(3000);`},{title:`Start it`,code:`${r} node app.mjs`}],python:[{title:`Install the SDK`,code:`pip install inngest fastapi uvicorn`},{title:`Write app.py`,code:`import inngest
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
inngest.fast_api.serve(app, client, [welcome])`},{title:`Start it`,code:`${r} uvicorn app:app --port 8000`}],go:[{title:`Get the SDK`,code:`go mod init shop && go get github.com/pawlhq/pawl`},{title:`Write main.go`,code:`package main

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
}`},{title:`Start it`,code:`${r} go run .`}]}}var p={typescript:`http://localhost:3000/api/inngest`,python:`http://localhost:8000/api/inngest`,go:`http://localhost:3000/api/inngest`},m={typescript:`TypeScript`,python:`Python`,go:`Go`};function h(){let e=a(t),[n,i]=(0,l.useState)(`typescript`),h=e.data?.dev??!0,g=location.origin,_=f(g,h)[n],v=e.data?.discovery??!1,y=h?`key`:`"$PAWL_EVENT_KEY"`,b={title:v?`Pawl finds it there by itself; elsewhere, let it register`:`Let it register`,code:h?`curl -X PUT ${p[n]}`:`curl ${g}/v2/apps/shop/syncs \\
  -H "Authorization: Bearer $PAWL_SIGNING_KEY" -H 'Content-Type: application/json' \\
  -d '{"url":"${p[n]}"}'`},x=`curl ${g}/e/${y} \\
  -d '{"name":"user/signed-up","data":{"name":"Ada"}}'`;return(0,u.jsxs)(`div`,{className:`grid gap-4 lg:grid-cols-[minmax(0,2fr)_minmax(0,1fr)]`,children:[(0,u.jsx)(s,{title:`Connect an app`,aside:(0,u.jsx)(o,{label:`Language`,value:n,onChange:i,tabs:Object.keys(m).map(e=>({value:e,label:m[e]}))}),children:(0,u.jsx)(`ol`,{className:`space-y-5`,children:[..._,b,{title:`Send it an event`,code:x}].map((e,t)=>(0,u.jsxs)(`li`,{className:`grid grid-cols-[1.5rem_minmax(0,1fr)] gap-x-3`,children:[(0,u.jsx)(`span`,{className:`tabular flex size-6 items-center justify-center rounded-full bg-accent-wash text-xs font-semibold text-accent`,"aria-hidden":`true`,children:t+1}),(0,u.jsxs)(`div`,{className:`min-w-0`,children:[(0,u.jsx)(`h3`,{className:`mb-2 pt-0.5 text-sm font-medium`,children:e.title}),(0,u.jsx)(r,{children:e.code})]})]},e.title))})}),(0,u.jsxs)(`div`,{className:`space-y-4`,children:[(0,u.jsx)(s,{title:`Waiting for an app`,children:(0,u.jsxs)(`div`,{className:`flex gap-3 text-sm`,children:[(0,u.jsx)(d,{}),(0,u.jsxs)(`div`,{className:`min-w-0 text-soft`,children:[v?(0,u.jsxs)(u.Fragment,{children:[(0,u.jsx)(`p`,{children:`Pawl looks for an app on this machine until it knows one:`}),(0,u.jsxs)(`dl`,{className:`mt-3 space-y-2`,children:[(0,u.jsx)(`dt`,{className:`text-xs text-faint`,children:`Ports`}),(0,u.jsx)(`dd`,{className:`font-mono text-xs break-words`,children:e.data?.ports}),(0,u.jsx)(`dt`,{className:`text-xs text-faint`,children:`Paths`}),(0,u.jsx)(`dd`,{className:`font-mono text-xs break-words`,children:e.data?.paths.join(`  `)})]}),(0,u.jsx)(`p`,{className:`mt-3`,children:`Elsewhere, an app registers when it is asked to, with step 4, or Pawl is told where it is:`})]}):h?(0,u.jsx)(`p`,{children:`Pawl does not look for apps: it was started with --no-discovery. An app registers with step 4, or Pawl is told where it is:`}):(0,u.jsx)(`p`,{children:`An app registers with step 4, if it has this server's signing key and can be reached from here. Its first sync shows here. Or Pawl is told where it is when it starts:`}),(0,u.jsx)(`p`,{className:`mt-3`,children:(0,u.jsxs)(`code`,{className:`font-mono text-xs break-words`,children:[`pawl `,h?`dev`:`serve`,` --app http://localhost:4000/api/inngest`]})})]})]})}),(e.data?.unsynced.length??0)>0&&(0,u.jsx)(s,{title:`Asked, and not connected yet`,children:(0,u.jsx)(`ul`,{className:`space-y-2 text-sm`,children:e.data?.unsynced.map(e=>(0,u.jsxs)(`li`,{className:`min-w-0`,children:[(0,u.jsx)(`code`,{className:`font-mono text-xs break-all`,children:c(e.url)}),(0,u.jsx)(`span`,{className:`block text-xs ${e.problem?`text-bad`:`text-faint`}`,children:e.problem?c(e.problem):`nothing listens there yet`})]},e.url))})})]})]})}export{h as Connect};