import { useInfiniteQuery } from "@tanstack/react-query";
import { FileClock } from "lucide-react";
import { useState } from "react";
import type { Schemas } from "@/api/client";
import { auditQuery } from "@/api/queries";
import { JsonView } from "@/components/JsonView";
import { Ago, Card, Page, useTitle } from "@/components/layout";
import { More } from "@/components/More";
import { Bones, Empty, Failed } from "@/components/states";
import { useRows } from "@/lib/rows";
import { shown } from "@/lib/text";

export function Audit() {
  useTitle("Audit log");
  useRows();
  const acts = useInfiniteQuery(auditQuery);
  const list = acts.data?.pages.flat() ?? [];
  return (
    <Page title="Audit log" sub="What people have done, newest first. It is kept as long as --retention-audit says.">
      <Card bare className="overflow-hidden">
        {acts.isPending ? (
          <Bones />
        ) : acts.isError && list.length === 0 ? (
          <Failed error={acts.error} retry={() => void acts.refetch()} />
        ) : list.length === 0 ? (
          <Empty title="Nobody has done anything yet" icon={<FileClock />}>
            Pauses, limits and the like are written down here with who did them.
          </Empty>
        ) : (
          <ul className="divide-y divide-line">
            {list.map((act) => (
              <Line key={act.seq} act={act} />
            ))}
          </ul>
        )}
        <More query={acts} />
      </Card>
    </Page>
  );
}

function Line({ act }: { act: Schemas["Act"] }) {
  const [open, setOpen] = useState(false);
  return (
    <li className="text-sm">
      <button
        type="button"
        data-row
        aria-expanded={open}
        onClick={() => setOpen(!open)}
        className="grid w-full grid-cols-[minmax(0,1fr)_auto] gap-x-4 px-4 py-2.5 text-left hover:bg-sunken sm:grid-cols-[9rem_minmax(0,1fr)_minmax(0,14rem)_5rem]"
      >
        <span className="font-medium">{shown(act.what)}</span>
        <span className="order-3 col-span-2 truncate sm:order-none sm:col-span-1">{shown(act.object)}</span>
        <span className="order-3 col-span-2 truncate text-soft sm:order-none sm:col-span-1">{shown(act.by)}</span>
        <Ago at={act.at} className="text-right text-xs leading-5 text-faint" />
      </button>
      {open && act.detail != null && (
        <div className="px-4 pb-3">
          <JsonView value={act.detail} label="detail" />
        </div>
      )}
    </li>
  );
}
