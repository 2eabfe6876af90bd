import { Link } from "@tanstack/react-router";
import { CloudOff, RefreshCw } from "lucide-react";
import type { ReactNode } from "react";
import { ApiError } from "@/api/client";
import { cn } from "@/lib/cn";
import { Button } from "./ui/button";

/** A place where there is nothing, and what to do about it. */
export function Empty({
  title,
  children,
  icon,
  className = "py-14",
}: {
  title: string;
  children?: ReactNode;
  icon?: ReactNode;
  className?: string;
}) {
  return (
    <div className={cn("mx-auto flex max-w-md flex-col items-center px-6 text-center", className)}>
      {icon && <div className="mb-4 text-faint [&_svg]:size-8 [&_svg]:stroke-[1.25]">{icon}</div>}
      <p className="font-medium">{title}</p>
      {children && <div className="mt-1.5 text-sm text-soft">{children}</div>}
    </div>
  );
}

/** Something could not be read: why, and how to try again. */
export function Failed({ error, retry }: { error: unknown; retry?: () => void }) {
  if (error instanceof ApiError && error.status === 404) {
    return (
      <Empty title="It is not here">
        {error.message}
        <br />
        <Link to="/" className="mt-3 inline-block text-accent hover:underline">
          To the overview
        </Link>
      </Empty>
    );
  }
  const away = !(error instanceof ApiError);
  return (
    <div role="alert">
      <Empty title={away ? "The server does not answer" : "This could not be read"} icon={<CloudOff />}>
        {away ? "It may be starting again. What is shown comes back by itself." : error.message}
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

export function NotFound() {
  return (
    <Empty title="There is no such page">
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
