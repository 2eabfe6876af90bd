import { defineConfig } from "@playwright/test";

// Debian's chromium looks at the built binary. No browser is ever downloaded.
const long = /(people|research|actions)\.spec\.ts/;

export default defineConfig({
  testDir: "./e2e",
  outputDir: "./e2e/results",
  timeout: 90_000,
  expect: { timeout: 20_000 },
  // Two files at a time, each with servers of its own. What is in one file comes in its order.
  workers: 2,
  fullyParallel: false,
  // What takes longest begins first: no worker is idle at the end.
  projects: [
    { name: "long", testMatch: long },
    { name: "short", testIgnore: long },
  ],
  reporter: [["list"]],
  use: {
    browserName: "chromium",
    locale: "en-GB",
    timezoneId: "UTC",
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"],
    },
  },
});
