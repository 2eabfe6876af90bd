import { create } from "zustand";
import { persist } from "zustand/middleware";

type Theme = "system" | "light" | "dark";

/** What one person likes, kept in this browser. */
export const usePrefs = create<{ theme: Theme; setTheme: (theme: Theme) => void }>()(
  persist((set) => ({ theme: "system", setTheme: (theme) => set({ theme }) }), { name: "pawl" }),
);

function apply(theme: Theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

apply(usePrefs.getState().theme);
usePrefs.subscribe((state) => apply(state.theme));
