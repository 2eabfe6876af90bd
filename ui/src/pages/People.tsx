import { useQuery } from "@tanstack/react-query";
import { Ban, Link2, LogOut, Settings2, Trash2, UserPlus, Users } from "lucide-react";
import { useState } from "react";
import { addPerson, changePerson, endLogins, lacks, linkPerson, type Person, peopleQuery, type Role, removePerson } from "@/api/people";
import { meQuery } from "@/api/queries";
import { Ago, Card, Fact, Facts, Page, useTitle } from "@/components/layout";
import { ForAdmins, RolePicker, RoleTag, Secret } from "@/components/people";
import { Bones, Empty, Failed } from "@/components/states";
import { Button } from "@/components/ui/button";
import { Confirm, Field, inputStyle } from "@/components/ui/confirm";
import { Dialog } from "@/components/ui/dialog";
import { tell, tellError } from "@/components/ui/toast";
import { clock, shown } from "@/lib/text";

type Ask = { what: "invite" } | { what: "manage" | "remove" | "disable" | "logout"; person: Person };
type Made = { name: string; url: string; until: string; again: boolean };

export function People() {
  useTitle("People");
  const me = useQuery(meQuery);
  const may = me.data && !me.data.dev && !lacks(me.data, "admin");
  const [ask, setAsk] = useState<Ask>();
  const [made, setMade] = useState<Made>();
  return (
    <Page
      title="People"
      sub="Who may log in here, and what they may do."
      aside={
        may && (
          <Button onClick={() => setAsk({ what: "invite" })}>
            <UserPlus /> Invite somebody
          </Button>
        )
      }
    >
      <Card bare className="overflow-hidden">
        <ForAdmins dev="Everybody on this machine may do everything here. pawl serve knows people, and lets in who has a password.">
          <List me={me.data?.name ?? ""} onManage={(person) => setAsk({ what: "manage", person })} />
        </ForAdmins>
      </Card>
      {ask?.what === "invite" && <Invite onClose={() => setAsk(undefined)} onMade={setMade} />}
      {ask?.what === "manage" && (
        <Manage
          person={ask.person}
          own={ask.person.name === me.data?.name}
          onClose={() => setAsk(undefined)}
          onAsk={setAsk}
          onMade={setMade}
        />
      )}
      {ask && ask.what !== "invite" && ask.what !== "manage" && (
        <Sure what={ask.what} person={ask.person} own={ask.person.name === me.data?.name} onClose={() => setAsk(undefined)} />
      )}
      {made && (
        <Secret title={`A link for ${shown(made.name)}`} secret={made.url} label="Link" onClose={() => setMade(undefined)}>
          <p>
            Send it to {shown(made.name)} by a way that you trust: whoever opens it sets the password. It works once, until{" "}
            {clock(made.until).slice(0, 16)}. A new link ends this one.
          </p>
          {made.again && <p>The password of now holds until then; after it, all logins end.</p>}
        </Secret>
      )}
    </Page>
  );
}

function state(person: Person): string {
  if (person.disabled) return "may not log in";
  if (person.link_until && !person.password) return "invited, has not come yet";
  if (!person.password && !person.openid) return "cannot log in yet: has no password";
  return [person.password && "password", person.openid && "OpenID"].filter(Boolean).join(" and ");
}

function List({ me, onManage }: { me: string; onManage: (person: Person) => void }) {
  const people = useQuery(peopleQuery);
  if (people.isPending) return <Bones />;
  if (people.isError && !people.data) return <Failed error={people.error} retry={() => void people.refetch()} />;
  const list = people.data ?? [];
  if (list.length === 0)
    return (
      <Empty title="Nobody is here yet" icon={<Users />}>
        The server has printed a link when it started, by which the first admin is made.
      </Empty>
    );
  return (
    <ul className="divide-y divide-line">
      {list.map((person) => (
        <li
          key={person.id}
          className="grid grid-cols-[minmax(0,1fr)_auto_2rem] items-center gap-x-3 gap-y-1 px-4 py-2.5 text-sm sm:grid-cols-[minmax(0,1fr)_6rem_10rem_2rem]"
        >
          <span className="min-w-0">
            <span className="block truncate font-medium" title={shown(person.name)}>
              {shown(person.name)} {person.name === me && <span className="font-normal text-faint">· you</span>}
            </span>
            <span className={person.disabled ? "block truncate text-xs text-bad" : "block truncate text-xs text-soft"}>
              {state(person)}
            </span>
          </span>
          <span>
            <RoleTag role={person.role} />
          </span>
          <span className="order-last col-span-3 text-xs text-faint sm:order-none sm:col-span-1">
            {person.seen_at ? (
              <>
                logged in <Ago at={person.seen_at} />
              </>
            ) : (
              "never logged in"
            )}
          </span>
          <Button kind="quiet" size="icon" aria-label={`Manage ${shown(person.name)}`} onClick={() => onManage(person)}>
            <Settings2 />
          </Button>
        </li>
      ))}
    </ul>
  );
}

function Invite({ onClose, onMade }: { onClose: () => void; onMade: (made: Made) => void }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("viewer");
  const me = useQuery(meQuery);
  return (
    <Confirm
      open
      onOpenChange={(open) => !open && onClose()}
      title="Invite somebody"
      action="Invite"
      needs="admin"
      disabled={!name.trim()}
      onConfirm={async () => {
        const person = await addPerson(name.trim(), role);
        onMade({ name: person.name, ...(await linkPerson(person.id)), again: false });
      }}
    >
      <Field
        label="Name"
        hint={
          me.data?.openid
            ? `To log in with ${me.data.openid}: their mail address there`
            : "By which they log in, such as their mail address"
        }
      >
        <input className={inputStyle} maxLength={200} autoComplete="off" value={name} onChange={(e) => setName(e.target.value)} />
      </Field>
      <RolePicker label="What they may do" value={role} onChange={setRole} />
      <p>You get a link for them, by which they set a password.</p>
    </Confirm>
  );
}

function Manage({
  person,
  own,
  onClose,
  onAsk,
  onMade,
}: {
  person: Person;
  own: boolean;
  onClose: () => void;
  onAsk: (ask: Ask) => void;
  onMade: (made: Made) => void;
}) {
  const [role, setRole] = useState(person.role as Role);
  const [busy, setBusy] = useState(false);
  const work = async (what: string, job: () => Promise<unknown>) => {
    setBusy(true);
    try {
      await job();
      onClose();
    } catch (error) {
      tellError(`${what}: it did not work`, error);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog open onOpenChange={(open) => !open && onClose()} title={shown(person.name)} description={own ? "This is you." : undefined}>
      <Facts>
        <Fact name="Logs in with">{state(person)}</Fact>
        <Fact name="Is here since">{clock(person.created_at).slice(0, 16)}</Fact>
        <Fact name="Last login">{person.seen_at ? <Ago at={person.seen_at} /> : "never"}</Fact>
        {person.link_until && <Fact name="Open link">works until {clock(person.link_until).slice(0, 16)}</Fact>}
      </Facts>
      <form
        className="mt-4 space-y-2"
        onSubmit={(event) => {
          event.preventDefault();
          void work("Change the role", async () => {
            await changePerson(person.id, { role });
            tell(`${shown(person.name)} is ${role} now`);
          });
        }}
      >
        <RolePicker label="What they may do" value={role} onChange={setRole} />
        {role !== person.role && (
          <div className="flex flex-wrap items-center justify-end gap-2">
            <span className="flex-1 text-xs text-soft">
              {own ? "You may not be able to take this back yourself." : "This holds from their next click on."}
            </span>
            <Button type="submit" kind="main" disabled={busy}>
              Change the role
            </Button>
          </div>
        )}
      </form>
      <div className="mt-4 grid gap-2 sm:grid-cols-2">
        <Button
          disabled={busy || person.disabled}
          onClick={() =>
            void work("Make a link", async () => onMade({ name: person.name, ...(await linkPerson(person.id)), again: person.password }))
          }
        >
          <Link2 /> {person.password ? "Link to reset the password" : "Link to set a password"}
        </Button>
        <Button disabled={busy} onClick={() => onAsk({ what: "logout", person })}>
          <LogOut /> Log out everywhere
        </Button>
        {person.disabled ? (
          <Button
            disabled={busy}
            onClick={() =>
              void work("Let them in", async () => {
                await changePerson(person.id, { disabled: false });
                tell(`${shown(person.name)} may log in again`);
              })
            }
          >
            <UserPlus /> Let them in again
          </Button>
        ) : (
          <Button kind="danger" disabled={busy} onClick={() => onAsk({ what: "disable", person })}>
            <Ban /> Shut out
          </Button>
        )}
        <Button kind="danger" disabled={busy} onClick={() => onAsk({ what: "remove", person })}>
          <Trash2 /> Remove
        </Button>
      </div>
    </Dialog>
  );
}

function Sure({
  what,
  person,
  own,
  onClose,
}: {
  what: "remove" | "disable" | "logout";
  person: Person;
  own: boolean;
  onClose: () => void;
}) {
  const name = shown(person.name);
  const words = {
    remove: {
      title: `Remove ${name}?`,
      action: "Remove",
      text: "They can log in no more, and all their logins end. That cannot be undone. What they did stays in the audit log; tokens that they made go on.",
      done: `${name} is removed`,
      job: () => removePerson(person.id),
    },
    disable: {
      title: `Shut ${name} out?`,
      action: "Shut out",
      text: "Their logins end at once, and so does a link that is open. You can let them in again. Tokens that they made go on.",
      done: `${name} may not log in any more`,
      job: () => changePerson(person.id, { disabled: true }),
    },
    logout: {
      title: `Log ${name} out everywhere?`,
      action: "Log out",
      text: "They have to log in again in every browser.",
      done: `${name} is logged out`,
      job: () => endLogins(person.id),
    },
  }[what];
  return (
    <Confirm
      open
      onOpenChange={(open) => !open && onClose()}
      title={words.title}
      action={words.action}
      danger
      needs="admin"
      onConfirm={async () => {
        await words.job();
        tell(words.done);
      }}
    >
      <p>{words.text}</p>
      {own && <p className="font-medium text-bad">This is you.</p>}
    </Confirm>
  );
}
