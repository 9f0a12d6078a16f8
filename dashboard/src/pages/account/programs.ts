/** Programs by what they say of themselves (User-Agent), in words. */

const BROWSERS: ReadonlyArray<[sign: RegExp, name: string]> = [
  [/Edg\//, "Edge"],
  [/OPR\//, "Opera"],
  [/Firefox\//, "Firefox"],
  [/Chrom(e|ium)\//, "Chrome"],
  [/Safari\//, "Safari"],
];
const SYSTEMS: ReadonlyArray<[sign: RegExp, name: string]> = [
  [/iPhone|iPad/, "iOS"],
  [/Android/, "Android"],
  [/Windows/, "Windows"],
  [/Mac OS X/, "macOS"],
  [/Linux/, "Linux"],
];

/** Returns “Firefox on Linux”, or of what is no browser its first word. */
export function programOf(userAgent: string | null): string {
  if (!userAgent) return "unknown program";
  const browser = BROWSERS.find(([sign]) => sign.test(userAgent))?.[1];
  if (!browser) return userAgent.split(" ")[0] ?? userAgent;
  const system = SYSTEMS.find(([sign]) => sign.test(userAgent))?.[1];
  return system ? `${browser} on ${system}` : browser;
}
