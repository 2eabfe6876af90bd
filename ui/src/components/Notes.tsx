import type { Schemas } from "@/api/client";
import { shown } from "@/lib/text";
import { JsonView } from "./JsonView";
import { Ago } from "./layout";

/** Metadata that an app, or somebody else, has noted, by kind. */
export function Notes({ notes }: { notes: Schemas["Note"][] }) {
  return (
    <ul className="space-y-3">
      {notes.map((note) => (
        <li key={`${note.attempt ?? ""}/${note.span ?? ""}/${note.kind}`}>
          <p className="mb-1 flex flex-wrap items-baseline gap-x-3 text-xs text-faint">
            <code className="min-w-0 flex-1 font-mono text-soft wrap-anywhere">{shown(note.kind)}</code>
            {note.attempt !== undefined && <span>try {note.attempt}</span>}
            {note.span && <span className="min-w-0 wrap-anywhere">span {shown(note.span)}</span>}
            <Ago at={note.updated_at} />
          </p>
          <JsonView value={note.values} label={note.kind} />
        </li>
      ))}
    </ul>
  );
}
