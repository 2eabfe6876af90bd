import { useQuery } from "@tanstack/react-query";
import { Eye, EyeOff, Lock } from "lucide-react";
import { type ComponentProps, type ReactNode, useState } from "react";
import { lacks, type Role } from "@/api/people";
import { meQuery } from "@/api/queries";
import { cn } from "@/lib/cn";
import { CopyButton } from "./layout";
import { Bones, Empty, Failed } from "./states";
import { Button } from "./ui/button";
import { inputStyle } from "./ui/confirm";
import { Dialog } from "./ui/dialog";

export const roles: { role: Role; may: string }[] = [
  { role: "viewer", may: "Reads everything, changes nothing." },
  { role: "operator", may: "Also sends events, cancels, retries, pauses and limits." },
  { role: "admin", may: "Also makes backups, and says who may do what." },
];

export function RolePicker({ value, onChange, label }: { value: Role; onChange: (role: Role) => void; label: string }) {
  return (
    <fieldset>
      <legend className="mb-1 text-sm font-medium text-ink">{label}</legend>
      <div className="divide-y divide-line rounded-md border border-line-strong">
        {roles.map(({ role, may }) => (
          <label key={role} className="flex cursor-pointer items-start gap-2.5 px-3 py-2">
            <input type="radio" name={label} className="mt-0.5 accent-accent" checked={value === role} onChange={() => onChange(role)} />
            <span className="min-w-0 text-sm">
              <span className="font-medium text-ink capitalize">{role}</span>
              <span className="block text-xs text-soft">{may}</span>
            </span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

const tones: Record<string, string> = {
  admin: "bg-accent-wash text-accent",
  operator: "bg-good-wash text-good",
  viewer: "bg-idle-wash text-idle",
};

export function RoleTag({ role }: { role: string }) {
  return <span className={cn("rounded-full px-2 py-0.5 text-xs font-medium capitalize", tones[role] ?? tones.viewer)}>{role}</span>;
}

/** Shows what only admins may see; the others are told why not, and nothing is asked for. */
export function ForAdmins({ children, dev }: { children: ReactNode; dev: ReactNode }) {
  const me = useQuery(meQuery);
  if (me.isPending) return <Bones />;
  if (me.isError) return <Failed error={me.error} retry={() => void me.refetch()} />;
  if (me.data.dev)
    return (
      <Empty title="There is nothing of this in pawl dev" icon={<Lock />}>
        {dev}
      </Empty>
    );
  const why = lacks(me.data, "admin");
  if (why)
    return (
      <Empty title="This is for admins" icon={<Lock />}>
        {why}
      </Empty>
    );
  return children;
}

/** A secret that is shown once. A click beside it does not throw it away. */
export function Secret({
  title,
  children,
  secret,
  label,
  onClose,
}: {
  title: string;
  children: ReactNode;
  secret: string;
  label: string;
  onClose: () => void;
}) {
  return (
    <Dialog open firm onOpenChange={(open) => !open && onClose()} title={title}>
      <div className="space-y-3 text-sm text-soft">
        <p>This is shown once: Pawl keeps only its hash.</p>
        <div className="flex items-center gap-1 rounded-md border border-line-strong bg-sunken pr-1">
          <input
            readOnly
            aria-label={label}
            value={secret}
            onFocus={(event) => event.target.select()}
            className="h-9 min-w-0 flex-1 bg-transparent px-2.5 font-mono text-xs text-ink focus:outline-none"
          />
          <CopyButton text={secret} label={`Copy the ${label.toLowerCase()}`} />
        </div>
        {children}
      </div>
      <div className="mt-5 flex justify-end">
        <Button kind="main" onClick={onClose}>
          Done
        </Button>
      </div>
    </Dialog>
  );
}

/** A password, which can be looked at while it is typed. Its name is not that of the button in it. */
export function PasswordInput({ label, className, ...props }: ComponentProps<"input"> & { label: string }) {
  const [seen, setSeen] = useState(false);
  return (
    <span className="relative block">
      <input
        {...props}
        aria-label={label}
        type={seen ? "text" : "password"}
        required
        maxLength={256}
        className={cn(inputStyle, "pr-9", className)}
      />
      <button
        type="button"
        aria-label={seen ? "Hide what is typed" : "Show what is typed"}
        onClick={() => setSeen(!seen)}
        className="absolute inset-y-0 right-0 flex w-8 items-center justify-center rounded-md text-faint hover:text-ink [&_svg]:size-4"
      >
        {seen ? <EyeOff /> : <Eye />}
      </button>
    </span>
  );
}
