import { create } from "zustand";

/** Whether the page has been painted once. What nobody looks for first waits for that. */
export const usePainted = create<{ painted: boolean }>(() => ({ painted: false }));

/** Is to be called when the page is drawn, which is a frame before it is painted. */
export const drawn = () => {
  requestAnimationFrame(() => requestAnimationFrame(() => usePainted.setState({ painted: true })));
};
