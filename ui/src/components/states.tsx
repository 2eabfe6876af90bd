import { type ErrorComponentProps, Link, useRouter } from "@tanstack/react-router";
import { CircleAlert, CloudOff, RefreshCw } from "lucide-react";
import { type ReactNode, useEffect } from "react";
import { base } from "@/api/ask";
import { Unreachable } from "@/api/away";
import { ApiError } from "@/api/client";
import { cn } from "@/lib/cn";
import { Button } from "./ui/button";

/** A place where there is nothing, and what to do about it. whole: it is the whole page. */
export function Empty({
  title,
  children,
  icon,
  className = "py-14",
  whole,
}: {
  title: string;
  children?: ReactNode;
  icon?: ReactNode;
  className?: string;
  whole?: boolean;
}) {
  const Title = whole ? "h1" : "p";
  return (
    <div className={cn("mx-auto flex max-w-md flex-col items-center px-6 text-center", className)}>
      {icon && <div className="mb-4 text-faint [&_svg]:size-8 [&_svg]:stroke-[1.25]">{icon}</div>}
      <Title className="font-medium">{title}</Title>
      {children && <div className="mt-1.5 text-sm text-soft">{children}</div>}
    </div>
  );
}

/** Whether the server says that there is no such thing: also of what was shown until now. */
export const isMissing = (error: unknown): boolean => error instanceof ApiError && error.status === 404;

/** Something could not be read: why, and how to try again. whole: it is the whole page; was: it was here before. */
export function Failed({ error, retry, whole, was }: { error: unknown; retry?: () => void; whole?: boolean; was?: boolean }) {
  if (error instanceof ApiError && isMissing(error)) {
    return (
      <Empty title={was ? "It is not here any more" : "It is not here"} whole={whole}>
        {error.message}
        <br />
        <Link to="/" className="mt-3 inline-block text-accent hover:underline">
          To the overview
        </Link>
      </Empty>
    );
  }
  const away = error instanceof Unreachable;
  return (
    <div role="alert">
      <Empty
        title={away ? "The server does not answer" : "This could not be read"}
        icon={away ? <CloudOff /> : <CircleAlert />}
        whole={whole}
      >
        {away ? "It may be starting again. What is shown comes back by itself." : textOf(error)}
        {retry && (
          <div className="mt-4">
            <Button onClick={retry}>
              <RefreshCw /> Try again
            </Button>
          </div>
        )}
      </Empty>
    </div>
  );
}

const textOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

/** A page that cannot be shown; what is around it stays. */
export function Broken({ error, reset }: ErrorComponentProps) {
  const router = useRouter();
  const again = () => {
    reset();
    void router.invalidate();
  };
  useEffect(() => console.error(error), [error]);
  if (error instanceof ApiError || error instanceof Unreachable) return <Failed error={error} retry={again} whole />;
  return (
    <div role="alert">
      <Empty title="This page cannot be shown" icon={<CircleAlert />} whole>
        <p>It is an error of the dashboard, and not of the server or of your apps:</p>
        <code className="mt-2 block font-mono text-xs wrap-anywhere">{textOf(error)}</code>
        <div className="mt-4 flex flex-wrap items-center justify-center gap-x-4 gap-y-2">
          <Button onClick={again}>
            <RefreshCw /> Try again
          </Button>
          {/* The dashboard begins anew with it, whatever state it is in. */}
          <a href={`${base}/`} className="text-accent hover:underline">
            To the overview
          </a>
        </div>
      </Empty>
    </div>
  );
}

export function NotFound() {
  return (
    <Empty title="There is no such page" whole>
      <Link to="/" className="text-accent hover:underline">
        To the overview
      </Link>
    </Empty>
  );
}

/** Grey lines where text will be. */
export function Bones({ rows = 6, className = "p-4" }: { rows?: number; className?: string }) {
  return (
    <div className={cn("space-y-3", className)} role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, i) => (
        <div key={i} className="breathing h-4 rounded bg-idle-wash" style={{ width: `${92 - ((i * 37) % 45)}%` }} />
      ))}
    </div>
  );
}
