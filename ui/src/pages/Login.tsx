import { queryOptions, useQuery } from "@tanstack/react-query";
import { type FormEvent, type ReactNode, useEffect, useState } from "react";
import { logIn, makeFirstAdmin } from "@/api/actions";
import { base } from "@/api/ask";
import { ApiError } from "@/api/client";
import { comeByLink } from "@/api/people";
import { meQuery } from "@/api/queries";
import { useTitle } from "@/components/layout";
import { PasswordInput } from "@/components/people";
import { Bones, Failed } from "@/components/states";
import { Button, buttonStyle } from "@/components/ui/button";
import { Field, inputStyle } from "@/components/ui/confirm";
import { loginRoute } from "@/router";

function Frame({ title, children }: { title: string; children: ReactNode }) {
  return (
    <main className="flex min-h-dvh flex-col items-center justify-center px-4 py-10">
      <svg viewBox="0 0 32 32" className="mb-5 size-10" aria-hidden="true">
        <rect width="32" height="32" rx="7" fill="#1a56c4" />
        <path d="M11 26V7h7a6 6 0 0 1 0 12h-7" fill="none" stroke="#fff" strokeWidth="4" strokeLinejoin="round" strokeLinecap="round" />
      </svg>
      <section className="w-full max-w-sm rounded-xl border border-line bg-panel p-6">
        <h1 className="mb-4 text-base font-semibold">{title}</h1>
        {children}
      </section>
    </main>
  );
}

function Form({
  action,
  newPassword,
  known,
  onSubmit,
}: {
  action: string;
  newPassword?: boolean;
  known?: string;
  onSubmit: (name: string, password: string) => Promise<unknown>;
}) {
  const [name, setName] = useState(known ?? "");
  const [password, setPassword] = useState("");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setProblem("");
    try {
      await onSubmit(name, password);
    } catch (error) {
      setProblem((error as Error).message);
    } finally {
      setBusy(false);
    }
  };
  return (
    <form onSubmit={submit} className="space-y-4">
      <Field label="Name">
        <input
          className={inputStyle}
          autoComplete="username"
          required
          maxLength={200}
          readOnly={known !== undefined}
          value={name}
          onChange={(e) => setName(e.target.value)}
        />
      </Field>
      <Field label="Password" hint={newPassword && "At least 12 characters"}>
        <PasswordInput
          label="Password"
          autoComplete={newPassword ? "new-password" : "current-password"}
          value={password}
          onChange={(e) => setPassword(e.target.value)}
        />
      </Field>
      {problem && (
        <p role="alert" className="text-sm text-bad">
          {problem}
        </p>
      )}
      <Button type="submit" kind="main" className="w-full" disabled={busy}>
        {busy ? "At work…" : action}
      </Button>
    </form>
  );
}

/** A page of this server to go on with, and of no other. */
const safe = (to: string | undefined) => (to?.startsWith("/") && !/^\/[/\\]/.test(to) && !to.startsWith("/login") ? to : "/");

// The page is loaded anew: nothing that was read for somebody else stays.
const goOn = (to: string) => location.assign(base + to);

/** Whoever is known already goes on. */
function GoOn({ to }: { to: string }) {
  useEffect(() => location.replace(base + to), [to]);
  return <Waiting />;
}

const Waiting = () => <Bones rows={3} className="mx-auto mt-40 max-w-sm p-4" />;

/** Where whoever is not known comes to. */
export function Login() {
  useTitle("Log in");
  const { to } = loginRoute.useSearch();
  const me = useQuery(meQuery);
  if (me.isPending) return <Waiting />;
  if (me.isError) return <Failed error={me.error} retry={() => void me.refetch()} whole />;
  if (me.data.name) return <GoOn to={safe(to)} />;
  if (me.data.setup)
    return (
      <Frame title="Nobody can log in yet">
        <p className="text-sm text-soft">
          The server has printed a link when it started, which makes the first admin. It stands in its output, once.
        </p>
      </Frame>
    );
  return (
    <Frame title="Log in to Pawl">
      <Form
        action="Log in"
        onSubmit={async (name, password) => {
          await logIn(name, password);
          goOn(safe(to));
        }}
      />
      {me.data.openid && (
        <a href={`${base}/v1/login/openid`} className={buttonStyle({ className: "mt-3 w-full" })}>
          Log in with {me.data.openid}
        </a>
      )}
    </Frame>
  );
}

const linkQuery = (token: string) =>
  queryOptions({ queryKey: ["link", token], queryFn: () => comeByLink(token), enabled: token !== "", retry: false });

/** Where who has been given a link by an admin sets a password. */
export function Welcome() {
  useTitle("Welcome");
  const [token] = useState(() => location.hash.slice(1));
  const link = useQuery(linkQuery(token));
  if (!token)
    return (
      <Frame title="The link is not whole">
        <p className="text-sm text-soft">Copy all of it, with what comes after the #.</p>
      </Frame>
    );
  if (link.isPending) return <Waiting />;
  if (link.isError)
    return (
      <Frame title={link.error instanceof ApiError ? "This link does not work" : "The server does not answer"}>
        <p role="alert" className="text-sm text-soft">
          {link.error instanceof ApiError ? link.error.message : "It may be starting again."}
        </p>
        {!(link.error instanceof ApiError) && (
          <Button className="mt-4 w-full" onClick={() => void link.refetch()}>
            Try again
          </Button>
        )}
      </Frame>
    );
  return (
    <Frame title="Welcome to Pawl">
      <p className="mb-4 text-sm text-soft">Set the password by which you log in from now on. The link works once.</p>
      <Form
        action="Set the password"
        newPassword
        known={link.data.name}
        onSubmit={async (_, password) => {
          await comeByLink(token, password);
          goOn("/");
        }}
      />
    </Frame>
  );
}

/** The first admin is made here, with the token after the # of the link that the server printed. */
export function Setup() {
  useTitle("Begin");
  const [token] = useState(() => location.hash.slice(1));
  const me = useQuery(meQuery);
  if (me.isPending) return <Waiting />;
  if (me.isError) return <Failed error={me.error} retry={() => void me.refetch()} whole />;
  if (!me.data.setup)
    return (
      <Frame title="This link does not work any more">
        <p role="alert" className="text-sm text-soft">
          {me.data.dev ? "Nobody has to log in here." : "The first admin is made. Whoever else comes is let in by an admin."}
        </p>
        <a href={`${base}/`} className={buttonStyle({ kind: "main", className: "mt-4 w-full" })}>
          {me.data.name ? "To the overview" : "Log in"}
        </a>
      </Frame>
    );
  return (
    <Frame title="The first admin">
      {token ? (
        <>
          <p className="mb-4 text-sm text-soft">Whoever this is may do everything, and lets others in.</p>
          <Form
            action="Make the first admin"
            newPassword
            onSubmit={async (name, password) => {
              await makeFirstAdmin(token, name, password);
              goOn("/");
            }}
          />
        </>
      ) : (
        <p className="text-sm text-soft">The link is not whole: copy all of it from the server's output, with what comes after the #.</p>
      )}
    </Frame>
  );
}
