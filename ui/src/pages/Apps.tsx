import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { CirclePause, CirclePlay, RefreshCw } from "lucide-react";
import { useState } from "react";
import { pause, resume, syncApp } from "@/api/actions";
import type { Schemas } from "@/api/client";
import { appsQuery, controlsQuery } from "@/api/queries";
import { Act, useOnce } from "@/components/Act";
import { Connect } from "@/components/Connect";
import { Ago, Card, Fact, Facts, Page, useTitle } from "@/components/layout";
import { Bones, Failed } from "@/components/states";
import { StatusPill } from "@/components/status";
import { Button } from "@/components/ui/button";
import { Confirm, Field, inputStyle, useForgotten } from "@/components/ui/confirm";
import { tell, tellError } from "@/components/ui/toast";
import { useRows } from "@/lib/rows";
import { many, shown } from "@/lib/text";

export function Apps() {
  useTitle("Apps");
  useRows();
  const apps = useQuery(appsQuery);
  const [connecting, setConnecting] = useState(false);
  const none = apps.data?.length === 0;
  return (
    <Page
      title="Apps"
      sub="What serves the functions: where it is, how it is, and what went wrong last."
      aside={
        !none && (
          <Button aria-expanded={connecting} onClick={() => setConnecting(!connecting)}>
            {connecting ? "Hide how to connect" : "Connect another app"}
          </Button>
        )
      }
    >
      {apps.isPending ? (
        <Bones />
      ) : apps.isError && !apps.data ? (
        <Failed error={apps.error} retry={() => void apps.refetch()} />
      ) : (
        <div className="grid grid-cols-1 gap-4 md:grid-cols-2">
          {apps.data?.map((app) => (
            <AppCard key={app.id} app={app} />
          ))}
        </div>
      )}
      {(none || connecting) && (
        <div className={none ? "" : "mt-6"}>
          <Connect />
        </div>
      )}
    </Page>
  );
}

function AppCard({ app }: { app: Schemas["App"] }) {
  const controls = useQuery(controlsQuery);
  const [busy, once] = useOnce();
  const [asking, setAsking] = useState(false);
  const [reason, setReason] = useState("");
  useForgotten(asking, () => setReason(""));
  const circuit = app.circuit;
  const held = controls.data?.find((c) => c.name === `app/${app.name}` && c.paused);
  const state = circuit ? "unreachable" : app.problem ? "failed" : held ? "waiting" : "completed";
  const word = circuit ? "answers nothing but errors" : app.problem ? "could not be synced" : held ? "paused" : "healthy";
  return (
    <Card title={shown(app.name)} aside={<StatusPill status={state}>{word}</StatusPill>}>
      {(circuit || app.problem) && (
        <p className="mb-3 rounded-lg bg-bad-wash px-3 py-2 text-sm break-words text-bad">{shown(circuit?.error || app.problem)}</p>
      )}
      <Facts>
        <Fact name="URL">
          <code className="font-mono text-xs break-all">{shown(app.url)}</code>
        </Fact>
        <Fact name="SDK">
          {shown(app.sdk)}
          {app.framework && <span className="text-faint"> · {shown(app.framework)}</span>}
        </Fact>
        {app.app_version && <Fact name="Version">{shown(app.app_version)}</Fact>}
        {app.synced_at && (
          <Fact name="Synced">
            <Ago at={app.synced_at} />
          </Fact>
        )}
        <Fact name="Functions">
          {many(app.functions.length, "function")}
          <span className="block text-xs break-words text-soft">
            {app.functions.slice(0, 8).map((f) => (
              <Link
                key={f.slug}
                data-row
                to="/functions/$slug"
                params={{ slug: f.slug }}
                className="mr-3 inline-block max-w-full break-words hover:text-accent"
              >
                {shown(f.name || f.slug)}
              </Link>
            ))}
            {app.functions.length > 8 && `and ${app.functions.length - 8} more`}
          </span>
        </Fact>
      </Facts>
      <div className="mt-4 flex gap-2">
        {app.url && (
          <Act
            size="small"
            busy={busy}
            onClick={() =>
              once(() =>
                syncApp(app.name, app.url).then(
                  () => tell(`${app.name} told its functions`),
                  (error) => tellError(`${app.name} could not be synced`, error),
                ),
              )
            }
          >
            <RefreshCw className={busy ? "animate-spin" : ""} /> Sync
          </Act>
        )}
        {held ? (
          <Act
            size="small"
            onClick={() =>
              resume(`app/${app.name}`).then(
                () => tell("It goes on"),
                (error) => tellError("It could not be resumed", error),
              )
            }
          >
            <CirclePlay /> Resume
          </Act>
        ) : (
          <Act size="small" onClick={() => setAsking(true)}>
            <CirclePause /> Pause
          </Act>
        )}
      </div>
      <Confirm
        open={asking}
        onOpenChange={setAsking}
        title={`Pause ${shown(app.name)}`}
        action="Pause"
        onConfirm={() => pause(`app/${app.name}`, "starts", reason)}
      >
        <p>No run of its functions begins until it is resumed. Those that have begun go on, and new ones are kept.</p>
        <Field label="Why">
          <input className={inputStyle} value={reason} onChange={(e) => setReason(e.target.value)} />
        </Field>
      </Confirm>
    </Card>
  );
}
