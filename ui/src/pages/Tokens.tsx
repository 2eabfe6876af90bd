import { useQuery } from "@tanstack/react-query";
import { Plus, Ticket, Trash2 } from "lucide-react";
import { useState } from "react";
import { base } from "@/api/ask";
import type { Schemas } from "@/api/client";
import { addToken, lacks, type Role, removeToken, type Scope, tokensQuery } from "@/api/people";
import { meQuery } from "@/api/queries";
import { Ago, Card, Code, Page, useTitle } from "@/components/layout";
import { ForAdmins, RolePicker, RoleTag, Secret } from "@/components/people";
import { Bones, Empty, Failed } from "@/components/states";
import { Button } from "@/components/ui/button";
import { Confirm, Field, inputStyle } from "@/components/ui/confirm";
import { tell } from "@/components/ui/toast";
import { cn } from "@/lib/cn";
import { useNow } from "@/lib/now";
import { clock, shown } from "@/lib/text";

type Token = Schemas["Token"];

export function Tokens() {
  useTitle("API tokens");
  const me = useQuery(meQuery);
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState<Token>();
  const [revoking, setRevoking] = useState<Token>();
  return (
    <Page
      title="API tokens"
      sub="What programs show in a person's place. Apps have keys instead."
      aside={
        me.data &&
        !me.data.dev &&
        !lacks(me.data, "admin") && (
          <Button onClick={() => setMaking(true)}>
            <Plus /> Make a token
          </Button>
        )
      }
    >
      <Card bare className="overflow-hidden">
        <ForAdmins dev="Nobody has to show anything here: programs on this machine ask as they are.">
          <List onRevoke={setRevoking} />
        </ForAdmins>
      </Card>
      {making && <Make onClose={() => setMaking(false)} onMade={setMade} />}
      {made && (
        <Secret title={`The token ${shown(made.name)}`} secret={made.token ?? ""} label="Token" onClose={() => setMade(undefined)}>
          <p>A program shows it so; pawl reads it from PAWL_TOKEN.</p>
          <Code>{`curl -H "Authorization: Bearer $PAWL_TOKEN" ${base}/v1/runs`}</Code>
        </Secret>
      )}
      <Confirm
        open={revoking !== undefined}
        onOpenChange={(open) => !open && setRevoking(undefined)}
        title={`Revoke the token ${shown(revoking?.name ?? "")}?`}
        action="Revoke"
        danger
        needs="admin"
        onConfirm={async () => {
          await removeToken(revoking!.id);
          tell("The token is revoked");
        }}
      >
        <p>Programs that show it are refused from now on. That cannot be undone.</p>
        {revoking?.used_at && (
          <p>
            It was last used <Ago at={revoking.used_at} />.
          </p>
        )}
      </Confirm>
    </Page>
  );
}

function List({ onRevoke }: { onRevoke: (token: Token) => void }) {
  const tokens = useQuery(tokensQuery);
  const now = useNow();
  if (tokens.isPending) return <Bones />;
  if (tokens.isError && !tokens.data) return <Failed error={tokens.error} retry={() => void tokens.refetch()} />;
  const list = [...(tokens.data ?? [])].reverse();
  if (list.length === 0)
    return (
      <Empty title="There is no token" icon={<Ticket />}>
        A build, a script or an alert that asks Pawl for something shows one.
      </Empty>
    );
  return (
    <ul className="divide-y divide-line">
      {list.map((token) => {
        const over = token.expires_at != null && Date.parse(token.expires_at) <= now;
        const soon = token.expires_at != null && !over && Date.parse(token.expires_at) - now < 7 * 86_400_000;
        return (
          <li
            key={token.id}
            className="grid grid-cols-[minmax(0,1fr)_auto_2rem] items-center gap-x-3 gap-y-1 px-4 py-2.5 text-sm sm:grid-cols-[minmax(0,1fr)_6rem_9rem_9rem_2rem]"
          >
            <span className="min-w-0">
              <span className={cn("block truncate font-medium", over && "text-faint line-through")} title={shown(token.name)}>
                {shown(token.name)}
              </span>
              {token.scopes.length > 0 && <span className="block text-xs text-soft">for {token.scopes.join(", ")}</span>}
              <span className="block truncate text-xs text-faint">
                made <Ago at={token.created_at} /> by {shown(token.by)}
              </span>
            </span>
            <span>
              <RoleTag role={token.role} />
            </span>
            <span className="order-2 col-span-3 text-xs text-soft sm:order-none sm:col-span-1">
              {token.used_at ? (
                <>
                  used <Ago at={token.used_at} />
                </>
              ) : (
                "never used"
              )}
            </span>
            <span
              title={token.expires_at ? clock(token.expires_at) : undefined}
              className={cn(
                "order-3 col-span-3 text-xs sm:order-none sm:col-span-1",
                over ? "text-bad" : soon ? "text-warn" : "text-faint",
              )}
            >
              {token.expires_at ? (
                <>
                  {over ? "expired" : "expires"} <Ago at={token.expires_at} />
                </>
              ) : (
                "never expires"
              )}
            </span>
            <Button kind="quiet" size="icon" aria-label={`Revoke ${shown(token.name)}`} onClick={() => onRevoke(token)}>
              <Trash2 />
            </Button>
          </li>
        );
      })}
    </ul>
  );
}

const lives = [
  { life: "1d", label: "1 day" },
  { life: "30d", label: "30 days" },
  { life: "90d", label: "90 days" },
  { life: "365d", label: "1 year" },
  { life: "", label: "Never" },
];

// Every scope there is: the compiler asks for a line of each.
const scopes: Record<Scope, string> = {
  events: "Events",
  runs: "Runs",
  functions: "Apps and functions",
  invoke: "Invoking",
  "dead-letters": "Dead letters",
  schedules: "Schedules",
  signals: "Signals",
  "idempotency-keys": "Idempotency keys",
  audit: "Audit log",
  people: "People, tokens, keys",
  server: "Server and metrics",
  backup: "Backups",
};

function Scopes({ value, onChange }: { value: Scope[]; onChange: (value: Scope[]) => void }) {
  return (
    <fieldset>
      <legend className="mb-1 text-sm font-medium text-ink">For</legend>
      <div className="grid gap-x-3 gap-y-1 rounded-md border border-line-strong px-3 py-2 sm:grid-cols-2">
        {(Object.keys(scopes) as Scope[]).map((scope) => (
          <label key={scope} className="flex cursor-pointer items-center gap-2 text-sm text-ink">
            <input
              type="checkbox"
              className="accent-accent"
              checked={value.includes(scope)}
              onChange={(e) => onChange(e.target.checked ? [...value, scope] : value.filter((s) => s !== scope))}
            />
            {scopes[scope]}
          </label>
        ))}
      </div>
      <p className="mt-1 text-xs text-faint">{value.length ? "It is refused everywhere else" : "None chosen: it is for all of them"}</p>
    </fieldset>
  );
}

function Make({ onClose, onMade }: { onClose: () => void; onMade: (token: Token) => void }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("viewer");
  const [areas, setAreas] = useState<Scope[]>([]);
  const [life, setLife] = useState("90d");
  return (
    <Confirm
      open
      onOpenChange={(open) => !open && onClose()}
      title="Make a token"
      action="Make it"
      needs="admin"
      disabled={!name.trim()}
      onConfirm={async () => onMade(await addToken(name.trim(), role, areas, life))}
    >
      <Field label="Name" hint="Of what uses it, so that you know later what breaks without it">
        <input className={inputStyle} maxLength={200} autoComplete="off" value={name} onChange={(e) => setName(e.target.value)} />
      </Field>
      <RolePicker label="Role" value={role} onChange={setRole} />
      <Scopes value={areas} onChange={setAreas} />
      <Field label="Expires after" hint={life ? undefined : "Who finds it may use it for ever: better give it an end"}>
        <select className={inputStyle} value={life} onChange={(e) => setLife(e.target.value)}>
          {lives.map((l) => (
            <option key={l.life} value={l.life}>
              {l.label}
            </option>
          ))}
        </select>
      </Field>
    </Confirm>
  );
}
