import { useQuery } from "@tanstack/react-query";
import { Lock, LogOut, Monitor } from "lucide-react";
import { type FormEvent, useState } from "react";
import { logOut } from "@/api/actions";
import { base } from "@/api/ask";
import type { Schemas } from "@/api/client";
import { changePassword, endLogin, endOtherLogins, loginsQuery } from "@/api/people";
import { meQuery } from "@/api/queries";
import { Ago, Card, Fact, Facts, Page, useTitle } from "@/components/layout";
import { PasswordInput, RoleTag, roles } from "@/components/people";
import { Bones, Empty, Failed } from "@/components/states";
import { Button } from "@/components/ui/button";
import { Confirm, Field } from "@/components/ui/confirm";
import { tell } from "@/components/ui/toast";
import { browser } from "@/lib/agent";
import { shown } from "@/lib/text";

/** Ends this login; the page is loaded anew, so that nothing stays of what was read. */
const leave = () => void logOut().finally(() => location.assign(`${base}/login`));

export function Account() {
  useTitle("Your account");
  const me = useQuery(meQuery);
  return (
    <Page title="Your account" narrow>
      {me.isPending ? (
        <Bones />
      ) : me.isError ? (
        <Failed error={me.error} retry={() => void me.refetch()} />
      ) : me.data.dev ? (
        <Card bare>
          <Empty title="There is nothing of this in pawl dev" icon={<Lock />}>
            Nobody has to log in here: everybody on this machine may do everything.
          </Empty>
        </Card>
      ) : (
        <div className="grid items-start gap-4 lg:grid-cols-2">
          <Card
            title="You"
            aside={
              <Button size="small" onClick={leave}>
                <LogOut /> Log out
              </Button>
            }
          >
            <Facts>
              <Fact name="Name">{shown(me.data.name ?? "")}</Fact>
              <Fact name="Role">
                <RoleTag role={me.data.role ?? ""} />{" "}
                <span className="text-xs text-soft">{roles.find((r) => r.role === me.data.role)?.may}</span>
              </Fact>
            </Facts>
          </Card>
          {me.data.password ? (
            <Password name={me.data.name ?? ""} />
          ) : (
            <Card title="Password">
              <p className="text-sm text-soft">
                You have none: you log in with {me.data.openid || "OpenID"}. An admin can make a link by which you set one.
              </p>
            </Card>
          )}
          <Logins />
        </div>
      )}
    </Page>
  );
}

function Password({ name }: { name: string }) {
  const [old, setOld] = useState("");
  const [next, setNext] = useState("");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setProblem("");
    try {
      await changePassword(old, next);
      setOld("");
      setNext("");
      tell("Your password is changed", { description: "Your other logins have ended." });
    } catch (error) {
      setProblem((error as Error).message);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Card title="Password">
      <form onSubmit={submit} className="space-y-3">
        <input type="text" autoComplete="username" value={name} readOnly hidden />
        <Field label="Password of now">
          <PasswordInput label="Password of now" autoComplete="current-password" value={old} onChange={(e) => setOld(e.target.value)} />
        </Field>
        <Field label="New password" hint="At least 12 characters. Your other logins end.">
          <PasswordInput label="New password" autoComplete="new-password" value={next} onChange={(e) => setNext(e.target.value)} />
        </Field>
        {problem && (
          <p role="alert" className="text-sm text-bad">
            {problem}
          </p>
        )}
        <div className="flex justify-end">
          <Button type="submit" kind="main" disabled={busy || !old || !next}>
            {busy ? "At work…" : "Change the password"}
          </Button>
        </div>
      </form>
    </Card>
  );
}

function Logins() {
  const logins = useQuery(loginsQuery);
  const [ending, setEnding] = useState<Schemas["Session"] | "others">();
  const list = logins.data ?? [];
  return (
    <Card
      title="Where you are logged in"
      bare
      className="lg:col-span-2"
      aside={
        list.length > 1 && (
          <Button size="small" onClick={() => setEnding("others")}>
            Log out everywhere else
          </Button>
        )
      }
    >
      {logins.isPending ? (
        <Bones rows={2} />
      ) : logins.isError && !logins.data ? (
        <Failed error={logins.error} retry={() => void logins.refetch()} />
      ) : (
        <ul className="divide-y divide-line">
          {list.map((login) => (
            <li key={login.id} className="flex items-center gap-3 px-4 py-2.5 text-sm">
              <Monitor className="size-4 shrink-0 text-faint" />
              <span className="min-w-0 flex-1">
                <span className="block truncate font-medium" title={shown(login.agent)}>
                  {shown(browser(login.agent))}
                  {login.current && <span className="ml-2 rounded-full bg-good-wash px-2 py-0.5 text-xs text-good">here</span>}
                </span>
                <span className="block truncate text-xs text-faint">
                  since <Ago at={login.created_at} />
                  {login.address && ` from ${shown(login.address)}`} · ends <Ago at={login.expires_at} />
                </span>
              </span>
              {!login.current && (
                <Button size="small" aria-label={`Log out ${shown(browser(login.agent))}`} onClick={() => setEnding(login)}>
                  Log out
                </Button>
              )}
            </li>
          ))}
        </ul>
      )}
      <Confirm
        open={ending !== undefined}
        onOpenChange={(open) => !open && setEnding(undefined)}
        title={ending === "others" ? "Log out everywhere else?" : "Log out there?"}
        action="Log out"
        danger
        needs="viewer"
        onConfirm={async () => {
          if (ending === "others") await endOtherLogins();
          else await endLogin(ending!.id);
          tell(ending === "others" ? "You are logged in here alone" : "That login has ended");
        }}
      >
        <p>
          {ending === "others"
            ? "All your logins but this one end."
            : "Who is there has to log in again. If it is not you, change your password too."}
        </p>
      </Confirm>
    </Card>
  );
}
