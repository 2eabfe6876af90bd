import { cva, type VariantProps } from "class-variance-authority";
import type { ComponentProps } from "react";
import { cn } from "@/lib/cn";

export const buttonStyle = cva(
  "inline-flex shrink-0 items-center justify-center gap-1.5 rounded-md font-medium whitespace-nowrap transition-colors disabled:cursor-not-allowed disabled:opacity-50 aria-disabled:cursor-not-allowed aria-disabled:opacity-50 [&_svg]:size-4 [&_svg]:shrink-0 print:hidden",
  {
    variants: {
      kind: {
        plain: "border border-line-strong bg-panel text-ink hover:bg-sunken",
        main: "bg-accent text-accent-ink hover:brightness-110",
        danger: "border border-bad/40 bg-bad-wash text-bad hover:border-bad",
        quiet: "text-soft hover:bg-sunken hover:text-ink",
      },
      size: {
        usual: "h-8 px-3 text-sm",
        small: "h-7 px-2 text-xs",
        low: "h-6 px-2 text-xs",
        tiny: "h-6 px-1.5 text-2xs",
        icon: "size-8",
        smallIcon: "size-7",
      },
    },
    defaultVariants: { kind: "plain", size: "usual" },
  },
);

export function Button({ kind, size, className, ...props }: ComponentProps<"button"> & VariantProps<typeof buttonStyle>) {
  return <button type="button" className={cn(buttonStyle({ kind, size }), className)} {...props} />;
}
