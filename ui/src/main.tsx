import { CSPProvider } from "@base-ui/react/csp-provider";
import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { flushSync } from "react-dom";
import { createRoot } from "react-dom/client";
import { forgetAhead } from "./api/ask";
import { start } from "./api/live";
import { queryClient } from "./api/queries";
import { keepBegun } from "./lib/begun";
import "./lib/prefs";
import { router } from "./router";

start();

// The page and the frame around it are drawn at once, and with nothing between what is
// kept and that: no key, no click.
void router.load().finally(() => {
  forgetAhead();
  const root = createRoot(document.getElementById("root")!);
  keepBegun();
  flushSync(() =>
    root.render(
      <StrictMode>
        <CSPProvider disableStyleElements>
          <QueryClientProvider client={queryClient}>
            <RouterProvider router={router} />
          </QueryClientProvider>
        </CSPProvider>
      </StrictMode>,
    ),
  );
});
