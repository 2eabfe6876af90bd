export type Theme = "system" | "light" | "dark";

/** Where a browser keeps what one person likes. */
export const kept = "pawl";

export function applyTheme(theme: Theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

/** The theme that was chosen, as preferences keep it. */
export function keptTheme(): Theme {
  try {
    return JSON.parse(localStorage.getItem(kept) ?? "").state.theme;
  } catch {
    return "system"; // nothing was chosen, or the browser keeps nothing
  }
}
