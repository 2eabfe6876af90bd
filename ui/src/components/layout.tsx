import { Check, Copy } from "lucide-react";
import { type ReactNode, useEffect, useState } from "react";
import { cn } from "@/lib/cn";
import { useNow } from "@/lib/now";
import { ago, clock, zone } from "@/lib/text";

export function useTitle(title: string) {
  useEffect(() => {
    document.title = title ? `${title} · Pawl` : "Pawl";
  }, [title]);
}

export function Page({
  title,
  aside,
  children,
  wide,
  narrow,
  sub,
  className,
}: {
  title: ReactNode;
  sub?: ReactNode;
  aside?: ReactNode;
  children: ReactNode;
  /** As wide as a wall display; narrow: as what is read or filled in. */
  wide?: boolean;
  narrow?: boolean;
  className?: string;
}) {
  return (
    <div
      className={cn(
        "mx-auto w-full px-4 py-5 sm:px-6 lg:px-8",
        wide ? "max-w-[2560px]" : narrow ? "max-w-6xl" : "max-w-[1440px]",
        className,
      )}
    >
      <header className="mb-5 flex flex-wrap items-start gap-x-4 gap-y-3">
        <div className="min-w-0 flex-1 basis-60">
          <h1 className="text-xl font-semibold tracking-tight wrap-anywhere">{title}</h1>
          {sub && <div className="mt-1 text-sm text-soft wrap-anywhere">{sub}</div>}
        </div>
        {aside && <div className="flex flex-wrap items-center gap-2">{aside}</div>}
      </header>
      {children}
    </div>
  );
}

export function Card({
  title,
  aside,
  children,
  className,
  bare,
}: {
  title?: ReactNode;
  aside?: ReactNode;
  children: ReactNode;
  className?: string;
  bare?: boolean;
}) {
  return (
    <section className={cn("min-w-0 rounded-xl border border-line bg-panel", className)}>
      {title && (
        <div className="flex min-h-11 flex-wrap items-center gap-x-3 gap-y-1 border-b border-line px-4 py-2">
          <h2 className="min-w-0 flex-1 text-sm font-semibold wrap-anywhere">{title}</h2>
          {aside}
        </div>
      )}
      <div className={bare ? undefined : "p-4"}>{children}</div>
    </section>
  );
}

/** How long ago something was; the time on the wall in its title. */
export function Ago({ at, className }: { at: string; className?: string }) {
  const now = useNow();
  return (
    <time dateTime={at} title={clock(at)} className={cn("tabular whitespace-nowrap", className)}>
      {ago(at, now)}
    </time>
  );
}

/** A time as the reader's clock showed it, to the millisecond, and whose clock that is. */
export function Clock({ at }: { at: string }) {
  return (
    <time dateTime={at} title={at} className="tabular">
      {clock(at)} <span className="text-xs text-faint">{zone(at)}</span>
    </time>
  );
}

export function CopyButton({ text, label, className }: { text: string; label: string; className?: string }) {
  const [done, setDone] = useState(false);
  return (
    <button
      type="button"
      aria-label={done ? "Copied" : label}
      title={label}
      className={cn(
        "inline-flex size-6 shrink-0 items-center justify-center rounded text-faint hover:bg-sunken hover:text-ink print:hidden",
        className,
      )}
      onClick={() => {
        void navigator.clipboard?.writeText(text).then(() => {
          setDone(true);
          setTimeout(() => setDone(false), 1500);
        });
      }}
    >
      {done ? <Check className="size-3.5 text-good" /> : <Copy className="size-3.5" />}
    </button>
  );
}

/** An id that can be copied. */
export function Id({ children, label }: { children: string; label: string }) {
  return (
    <span className="inline-flex min-w-0 items-center gap-0.5">
      <code className="truncate font-mono text-xs text-soft">{children}</code>
      <CopyButton text={children} label={label} />
    </span>
  );
}

export function Code({ children, className }: { children: string; className?: string }) {
  return (
    <div className={cn("flex items-start rounded-lg border border-line bg-sunken", className)}>
      <pre className="min-w-0 flex-1 overflow-x-auto p-3 font-mono text-xs leading-relaxed" tabIndex={0}>
        {children}
      </pre>
      <CopyButton text={children} label="Copy" className="m-2 ml-0" />
    </div>
  );
}

export function Facts({ children }: { children: ReactNode }) {
  return <dl className="grid grid-cols-[auto_minmax(0,1fr)] gap-x-5 gap-y-2 text-sm">{children}</dl>;
}

export function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="text-faint">{name}</dt>
      <dd className="min-w-0 wrap-anywhere">{children}</dd>
    </>
  );
}

export function Tabs<T extends string>({
  value,
  onChange,
  tabs,
  label,
}: {
  value: T;
  onChange: (value: T) => void;
  tabs: { value: T; label: ReactNode }[];
  label: string;
}) {
  return (
    <div role="tablist" aria-label={label} className="flex flex-wrap gap-1">
      {tabs.map((tab) => (
        <button
          key={tab.value}
          type="button"
          role="tab"
          aria-selected={tab.value === value}
          onClick={() => onChange(tab.value)}
          className={cn(
            "h-7 rounded-md px-2.5 text-sm",
            tab.value === value ? "bg-sunken font-medium text-ink" : "text-soft hover:text-ink",
          )}
        >
          {tab.label}
        </button>
      ))}
    </div>
  );
}
