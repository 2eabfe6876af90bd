import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { Inbox, Send } from "lucide-react";
import { useEffect, useState } from "react";
import { sendEvent } from "@/api/actions";
import { eventsQuery } from "@/api/queries";
import { Act, useLacks } from "@/components/Act";
import { Editor } from "@/components/Editor";
import { Ago, Card, Page, Tabs, useTitle } from "@/components/layout";
import { More } from "@/components/More";
import { Bones, Empty, Failed } from "@/components/states";
import { inputStyle } from "@/components/ui/confirm";
import { tell } from "@/components/ui/toast";
import { cn } from "@/lib/cn";
import { write } from "@/lib/json";
import { useCommand } from "@/lib/keys";
import { useRows } from "@/lib/rows";
import { shown } from "@/lib/text";
import { eventsRoute } from "@/router";

const spans = { "1": "1 h", "24": "24 h", "168": "7 d", "8760": "All" };

export function Events() {
  useTitle("Events");
  useRows();
  const { name = "", hours = 24 } = eventsRoute.useSearch();
  const navigate = useNavigate();
  const go = (next: { name?: string; hours?: number }) => {
    const to = { name: name || undefined, hours: hours === 24 ? undefined : hours, ...next };
    void navigate({
      to: "/events",
      search: { ...(to.name ? { name: to.name } : {}), ...(to.hours && to.hours !== 24 ? { hours: to.hours } : {}) },
      replace: true,
    });
  };
  const events = useInfiniteQuery(eventsQuery({ name, hours }));
  const list = events.data?.pages.flat() ?? [];
  const [text, setText] = useState(name);
  const [sending, setSending] = useState(false);
  const why = useLacks();
  useEffect(() => setText(name), [name]);
  useCommand([{ id: "send", label: "Send an event", group: "This page", keys: "s", off: why, run: () => setSending(true) }]);
  return (
    <Page
      title="Events"
      sub="What was received, newest first."
      aside={
        <Act kind="main" onClick={() => setSending(true)}>
          <Send /> Send an event
        </Act>
      }
    >
      <form
        className="mb-4 flex flex-wrap items-center gap-2"
        onSubmit={(e) => {
          e.preventDefault();
          go({ name: text.trim() });
        }}
      >
        <input
          className={cn(inputStyle, "max-w-xs flex-1")}
          placeholder="Name, such as order/paid"
          aria-label="Name of the event"
          data-search
          value={text}
          onChange={(e) => setText(e.target.value)}
          onBlur={() => text.trim() !== name && go({ name: text.trim() })}
        />
        <Tabs
          label="How far back"
          value={String(hours)}
          onChange={(value) => go({ hours: Number(value) })}
          tabs={Object.entries(spans)
            .sort((a, b) => Number(a[0]) - Number(b[0]))
            .map(([value, label]) => ({ value, label }))}
        />
      </form>
      <Card bare className="overflow-hidden">
        {events.isPending ? (
          <Bones />
        ) : events.isError && list.length === 0 ? (
          <Failed error={events.error} retry={() => void events.refetch()} />
        ) : list.length === 0 ? (
          <Empty title={name ? `No event ${shown(name)} in this time` : "No event in this time"} icon={<Inbox />}>
            Apps send events, and so can you.
          </Empty>
        ) : (
          <ul className="divide-y divide-line">
            {list.map((event) => (
              <li key={event.internal_id}>
                <Link
                  data-row
                  to="/events/$event"
                  params={{ event: event.internal_id }}
                  className="grid grid-cols-[minmax(0,1fr)_auto] gap-x-4 px-4 py-2 text-sm hover:bg-sunken md:grid-cols-[minmax(0,16rem)_minmax(0,1fr)_auto]"
                >
                  <span className="truncate font-medium">{shown(event.name)}</span>
                  <code className="order-last col-span-2 truncate font-mono text-xs leading-5 text-faint md:order-none md:col-span-1">
                    {shown(write(event.data, 0).slice(0, 300))}
                  </code>
                  <Ago at={event.received_at} className="text-xs leading-5 text-faint" />
                </Link>
              </li>
            ))}
          </ul>
        )}
        <More query={events} />
      </Card>
      {sending && (
        <Editor
          title="Send an event"
          description="name says which functions start; data is what they get. id makes it happen once in a day."
          value={{ name: name || "user/signed-up", data: { name: "Ada" } }}
          action="Send"
          event
          onClose={() => setSending(false)}
          onSubmit={async (value) => {
            const id = await sendEvent(value);
            tell("The event was received");
            await navigate({ to: "/events/$event", params: { event: id } });
          }}
        />
      )}
    </Page>
  );
}
