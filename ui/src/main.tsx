import "./app.css";
import { CSPProvider } from "@base-ui/react/csp-provider";
import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { start } from "./api/live";
import { queryClient } from "./api/queries";
import "./lib/prefs";
import { router } from "./router";

start();

// The page and the frame around it are drawn at once.
void router.load().finally(() =>
  createRoot(document.getElementById("root")!).render(
    <StrictMode>
      <CSPProvider disableStyleElements>
        <QueryClientProvider client={queryClient}>
          <RouterProvider router={router} />
        </QueryClientProvider>
      </CSPProvider>
    </StrictMode>,
  ),
);
