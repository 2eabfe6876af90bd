import cronstrue from "cronstrue";

/** A cron in words; "" when it has none. */
export function cronWords(cron: string): string {
  const [, zone, rest] = /^(?:TZ|CRON_TZ)=(\S+)\s+(.*)$/.exec(cron) ?? [undefined, "", cron];
  try {
    const words = cronstrue.toString(rest!, { use24HourTimeFormat: true, verbose: false });
    return zone ? `${words} (${zone})` : words;
  } catch {
    return "";
  }
}
