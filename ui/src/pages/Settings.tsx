import { useQuery } from "@tanstack/react-query";
import { base } from "@/api/ask";
import { serverQuery } from "@/api/queries";
import { Card, Fact, Facts, Page, Tabs, useTitle } from "@/components/layout";
import { usePrefs } from "@/lib/prefs";
import { shown } from "@/lib/text";

export function Settings() {
  useTitle("Settings");
  const server = useQuery(serverQuery);
  const { theme, setTheme } = usePrefs();
  return (
    <Page title="Settings" narrow>
      <div className="grid gap-4 md:grid-cols-2">
        <Card title="This browser">
          <Facts>
            <Fact name="Colours">
              <Tabs
                label="Colours"
                value={theme}
                onChange={setTheme}
                tabs={[
                  { value: "system", label: "As the system" },
                  { value: "light", label: "Light" },
                  { value: "dark", label: "Dark" },
                ]}
              />
            </Fact>
          </Facts>
        </Card>
        <Card title="This server">
          {server.data && (
            <Facts>
              <Fact name="Version">{shown(server.data.version)}</Fact>
              <Fact name="Kind">{server.data.dev ? "pawl dev: for one developer on this machine" : "pawl serve"}</Fact>
              <Fact name="API">
                <a href={`${base}/openapi.json`} className="text-accent hover:underline">
                  OpenAPI document
                </a>
              </Fact>
            </Facts>
          )}
          <p className="mt-4 text-sm text-soft">
            The server is set by flags, the environment and a file:{" "}
            <code className="font-mono text-xs">pawl {server.data?.dev === false ? "serve" : "dev"} --help</code>
          </p>
        </Card>
      </div>
    </Page>
  );
}
