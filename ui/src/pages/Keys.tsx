import { useQuery } from "@tanstack/react-query";
import { KeyRound } from "lucide-react";
import type { ReactNode } from "react";
import type { Schemas } from "@/api/client";
import { keysQuery } from "@/api/people";
import { Ago, Card, Code, Page, useTitle } from "@/components/layout";
import { ForAdmins } from "@/components/people";
import { Bones, Empty, Failed } from "@/components/states";
import { shown } from "@/lib/text";

export function Keys() {
  useTitle("Keys");
  return (
    <Page narrow title="Keys" sub="By which apps and senders of events are known. The server is given them when it starts, and shows none.">
      <ForAdmins dev="Nobody is asked for a key here. pawl serve needs a signing key and an event key.">
        <Both />
      </ForAdmins>
    </Page>
  );
}

function Both() {
  const keys = useQuery(keysQuery);
  if (keys.isPending) return <Bones />;
  if (keys.isError && !keys.data) return <Failed error={keys.error} retry={() => void keys.refetch()} />;
  const signing = keys.data?.filter((k) => k.kind === "signing") ?? [];
  const event = keys.data?.filter((k) => k.kind === "event") ?? [];
  const previous = signing.find((k) => k.previous);
  return (
    <div className="grid gap-4 lg:grid-cols-2">
      <Card title="Signing key" bare>
        <List keys={signing} none="No app is let in." />
        <div className="space-y-3 border-t border-line p-4 text-sm text-soft">
          <p>Apps and Pawl prove by it to each other who they are. Whoever has it may read and do everything.</p>
          {previous && (
            <p className="rounded-md bg-warn-wash px-3 py-2 text-warn">
              {previous.last_used_at
                ? "The key of before is still in use: an app has yet to be given the new one."
                : "The key of before was not used since the server started. When all apps have run since, start Pawl without it."}
            </p>
          )}
          <Steps title="Rotate it without a pause">
            <li>Make a new one.</li>
            <li>Start Pawl with the new one, and the old one as previous: both are accepted.</li>
            <li>Give the new one to each app as INNGEST_SIGNING_KEY.</li>
            <li>When the old one is not used here any more, start Pawl without it.</li>
          </Steps>
          <Code>{`PAWL_SIGNING_KEY=signkey-prod-$(openssl rand -hex 32)\nPAWL_SIGNING_KEY_PREVIOUS=the old one`}</Code>
        </div>
      </Card>
      <Card title="Event keys" bare>
        <List keys={event} none="Nobody may send events." />
        <div className="space-y-3 border-t border-line p-4 text-sm text-soft">
          <p>Whoever has one may send events, and nothing else. Each sender can have its own.</p>
          <Steps title="Rotate one without a pause">
            <li>Make a new one.</li>
            <li>Start Pawl with both, separated by a comma.</li>
            <li>Give the new one to the senders as INNGEST_EVENT_KEY.</li>
            <li>When the old one is not used here any more, start Pawl without it.</li>
          </Steps>
          <Code>{"PAWL_EVENT_KEY=the old one,$(openssl rand -hex 16)"}</Code>
        </div>
      </Card>
      <Card title="Which key is it?" className="lg:col-span-2">
        <p className="mb-3 text-sm text-soft">A fingerprint is the beginning of the key's SHA-256. Compare that of a key that you hold:</p>
        <Code>{'printf %s "$KEY" | sha256sum | cut -c1-8'}</Code>
      </Card>
    </div>
  );
}

function Steps({ title, children }: { title: string; children: ReactNode }) {
  return (
    <div>
      <h3 className="mb-1 font-medium text-ink">{title}</h3>
      <ol className="list-decimal space-y-1 pl-5">{children}</ol>
    </div>
  );
}

function List({ keys, none }: { keys: Schemas["Secret"][]; none: string }) {
  if (keys.length === 0)
    return (
      <Empty title="There is none" icon={<KeyRound />} className="py-8">
        {none}
      </Empty>
    );
  return (
    <ul className="divide-y divide-line">
      {keys.map((key) => (
        <li
          key={key.kind + key.fingerprint + key.from}
          className="grid grid-cols-[minmax(0,1fr)_auto] items-center gap-x-3 gap-y-0.5 px-4 py-2.5 text-sm"
        >
          <span className="min-w-0">
            <code className="font-mono text-sm font-medium">{key.fingerprint}…</code>
            {key.previous && <span className="ml-2 rounded-full bg-warn-wash px-2 py-0.5 text-xs font-medium text-warn">previous</span>}
          </span>
          <span className="text-xs text-soft">
            {key.last_used_at ? (
              <>
                used <Ago at={key.last_used_at} />
              </>
            ) : (
              "not used since the start"
            )}
          </span>
          <span className="col-span-2 truncate text-xs text-faint">{key.from ? `from ${shown(key.from)}` : "given by the program"}</span>
        </li>
      ))}
    </ul>
  );
}
