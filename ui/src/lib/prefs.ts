import { create } from "zustand";
import { persist } from "zustand/middleware";
import { applyTheme, kept, type Theme } from "./theme";

/** What one person likes, kept in this browser. */
export const usePrefs = create<{ theme: Theme; setTheme: (theme: Theme) => void }>()(
  persist((set) => ({ theme: "system", setTheme: (theme) => set({ theme }) }), { name: kept }),
);

applyTheme(usePrefs.getState().theme);
usePrefs.subscribe((state) => applyTheme(state.theme));
