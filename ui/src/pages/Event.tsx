import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { PencilLine } from "lucide-react";
import { useState } from "react";
import { sendEvent } from "@/api/actions";
import { eventQuery, eventRunsQuery } from "@/api/queries";
import { Act, useLacks } from "@/components/Act";
import { Editor } from "@/components/Editor";
import { JsonView } from "@/components/JsonView";
import { Ago, Card, Clock, Fact, Facts, Id, Page, useTitle } from "@/components/layout";
import { RunRow } from "@/components/RunRow";
import { Bones, Empty, Failed, isMissing } from "@/components/states";
import { tell } from "@/components/ui/toast";
import { useCommand } from "@/lib/keys";
import { useRows } from "@/lib/rows";
import { clock, shown } from "@/lib/text";
import { eventRoute } from "@/router";

const waitWords: Record<string, string> = {
  debounce: "a later event takes its place, and the run starts when none comes any more.",
  batch: "the run starts with all events of its batch, sooner if that is full.",
};

export function EventPage() {
  const { event: id } = eventRoute.useParams();
  const event = useQuery(eventQuery(id));
  const runs = useQuery(eventRunsQuery(id));
  const navigate = useNavigate();
  const [sending, setSending] = useState(false);
  const why = useLacks();
  useRows();
  const missing = isMissing(event.error);
  useTitle(event.data && !missing ? shown(event.data.name) : "Event");
  useCommand([{ id: "resend", label: "Edit and send again", group: "This page", keys: "e", off: why, run: () => setSending(true) }]);
  if (event.isPending) return <Bones className="mx-auto max-w-6xl p-8" />;
  if (event.isError && (missing || !event.data))
    return <Failed error={event.error} retry={() => void event.refetch()} was={event.data !== undefined} whole />;
  const e = event.data;
  return (
    <Page
      title={shown(e.name)}
      sub={
        <span className="flex flex-wrap gap-x-4">
          <Id label="Copy the id of the event">{e.internal_id}</Id>
          <span>
            received <Ago at={e.received_at} />
          </span>
        </span>
      }
      aside={
        <Act onClick={() => setSending(true)}>
          <PencilLine /> Edit and send again
        </Act>
      }
    >
      <div className="grid gap-4 lg:grid-cols-[minmax(0,3fr)_minmax(0,2fr)]">
        <div className="min-w-0 space-y-4">
          <Card title="Data">
            <JsonView value={e.data} label="data" />
          </Card>
          <Card title="Runs that it started" bare className="overflow-hidden">
            {e.waits.length > 0 && (
              <ul className="divide-y divide-line border-b border-line text-sm">
                {e.waits.map((w) => (
                  <li key={w.function + w.for} className="px-4 py-2.5 wrap-anywhere">
                    Waits for{" "}
                    <Link to="/functions/$slug" params={{ slug: w.function }} className="font-medium hover:text-accent">
                      {shown(w.function)}
                    </Link>{" "}
                    until <Clock at={w.until} /> (<Ago at={w.until} />
                    ): <span className="text-soft">{waitWords[w.for]}</span>
                  </li>
                ))}
              </ul>
            )}
            {runs.isPending ? (
              <Bones rows={2} />
            ) : runs.isError && !runs.data ? (
              <Failed error={runs.error} retry={() => void runs.refetch()} />
            ) : runs.data?.runs.length ? (
              <div className="divide-y divide-line">
                {runs.data.runs.map((run) => (
                  <RunRow key={run.run_id} run={run} caused />
                ))}
              </div>
            ) : e.waits.length === 0 ? (
              <Empty title="It started nothing" className="py-10">
                No function had it as a trigger when it came, the function's limits left it out, or a later event took its place.
              </Empty>
            ) : null}
          </Card>
        </div>
        <Card title="Event" className="self-start">
          <Facts>
            <Fact name="Id">
              <code className="font-mono text-xs break-all">{shown(e.id)}</code>
            </Fact>
            <Fact name="Happened">
              <span className="tabular">{clock(Number(e.ts))}</span>
            </Fact>
            <Fact name="Received">
              <span className="tabular">{clock(e.received_at)}</span>
            </Fact>
            {e.v && <Fact name="Version">{shown(e.v)}</Fact>}
          </Facts>
          {e.user != null && (
            <>
              <h3 className="mt-4 mb-1.5 text-xs font-semibold text-faint">User</h3>
              <JsonView value={e.user} label="user" />
            </>
          )}
        </Card>
      </div>
      {sending && (
        <Editor
          title="Edit and send again"
          description="It is a new event, with an id of its own."
          value={{ name: e.name, data: e.data ?? {} }}
          action="Send"
          event
          onClose={() => setSending(false)}
          onSubmit={async (value) => {
            const sent = await sendEvent(value);
            tell("The event was received");
            await navigate({ to: "/events/$event", params: { event: sent } });
          }}
        />
      )}
    </Page>
  );
}
