import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { Schemas } from "@/api/client";
import { versionsQuery } from "@/api/queries";
import { write } from "@/lib/json";
import { shown } from "@/lib/text";
import { Ago, Card } from "./layout";
import { Bones, Failed } from "./states";
import { Button } from "./ui/button";

const few = 5;

/** Each sync that changed a function: when, and what. */
export function Versions({ slug, version }: { slug: string; version: number }) {
  const versions = useQuery(versionsQuery(slug));
  const [all, setAll] = useState(false);
  const list = versions.data ?? [];
  return (
    <Card title="Versions" bare>
      {versions.isPending ? (
        <Bones rows={2} />
      ) : versions.isError && list.length === 0 ? (
        <Failed error={versions.error} />
      ) : (
        <ol className="divide-y divide-line" aria-label="Versions">
          {list.slice(0, all ? undefined : few).map((v) => (
            <li key={v.version} className="px-4 py-2.5 text-sm">
              <p className="flex flex-wrap items-baseline gap-x-3">
                <span className="font-medium">Version {v.version}</span>
                {v.version === version && <span className="text-xs text-good">in force</span>}
                {v.app_version && <span className="text-xs text-soft">app {shown(v.app_version)}</span>}
                {v.made_at ? (
                  <Ago at={v.made_at} className="ml-auto text-xs text-faint" />
                ) : (
                  <span className="ml-auto text-xs text-faint">time not kept</span>
                )}
              </p>
              {v.changes.length > 0 ? (
                <ul className="mt-1 space-y-1">
                  {v.changes.map((c) => (
                    <Change key={c.path} change={c} />
                  ))}
                </ul>
              ) : (
                <p className="text-xs text-soft">{v.version === 1 ? "The first." : "Nothing but what is not shown."}</p>
              )}
            </li>
          ))}
        </ol>
      )}
      {!all && list.length > few && (
        <div className="border-t border-line p-2 text-center">
          <Button kind="quiet" size="small" onClick={() => setAll(true)}>
            All {list.length}
          </Button>
        </div>
      )}
    </Card>
  );
}

const text = (value: unknown) => {
  const s = write(value, 0);
  return s.length > 200 ? `${s.slice(0, 200)}…` : s;
};

function Change({ change: c }: { change: Schemas["Change"] }) {
  return (
    <li className="font-mono text-2xs break-all">
      <span className="text-soft">{shown(c.path)}</span> {c.from !== undefined && <del className="text-bad">{shown(text(c.from))}</del>}
      {c.from !== undefined && c.to !== undefined && " "}
      {c.to !== undefined && <ins className="text-good no-underline">{shown(text(c.to))}</ins>}
    </li>
  );
}
