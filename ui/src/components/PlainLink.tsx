import { useRouter } from "@tanstack/react-router";
import type { ComponentProps } from "react";
import { base } from "@/api/ask";

/**
 * A link to a page that costs no more than its text, for where there are many, or where
 * every millisecond counts: it watches nothing, and does not know whether it is where one is.
 */
export function PlainLink({
  path,
  preload,
  onClick,
  ...props
}: Omit<ComponentProps<"a">, "href"> & {
  /** From the page's base, such as "/runs". */
  path: string;
  /** The page is loaded when somebody points at the link. */
  preload?: boolean;
}) {
  const router = useRouter();
  const href = base + path;
  const ahead = preload ? () => void router.preloadRoute({ to: path as string }).catch(() => {}) : undefined; // it is loaded when it is opened, then
  return (
    <a
      href={href}
      onPointerEnter={ahead}
      onFocus={ahead}
      {...props}
      onClick={(event) => {
        onClick?.(event);
        // What else there is to a click, the browser knows.
        if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
        event.preventDefault();
        router.history.push(href.slice(location.origin.length));
      }}
    />
  );
}
