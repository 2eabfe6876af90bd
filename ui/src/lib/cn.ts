import { clsx } from "clsx";

/** Joins classes. No two of them may say the same thing differently: which one holds, their order does not tell. */
export const cn = clsx;
