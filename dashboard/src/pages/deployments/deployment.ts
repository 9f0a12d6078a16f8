import type { Schema } from "../../api/client";

export type Deployment = Schema["DeploymentOut"];

export const STATUSES = [
  "pending",
  "running",
  "updating",
  "scaling",
  "stopping",
  "stopped",
  "starting",
  "failed",
  "deleting",
] as const;

export type Status = (typeof STATUSES)[number];

/** Statuses that pass by themselves. */
export const PASSING: ReadonlySet<string> = new Set([
  "pending",
  "updating",
  "scaling",
  "stopping",
  "starting",
  "deleting",
]);

/** Returns an image's name without the digest that nobody reads. */
export function shortImage(image: string): string {
  return image.replace(/@sha256:[0-9a-f]+$/, "");
}

/** Returns variables from lines of `NAME=value`; throws with the line that is none. */
export function variablesOf(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const line of text.split("\n")) {
    if (line.trim() === "" || line.trimStart().startsWith("#")) continue;
    const at = line.indexOf("=");
    if (at < 1) throw new SyntaxError(`“${line}” is not NAME=value.`);
    found[line.slice(0, at).trim()] = line.slice(at + 1);
  }
  return found;
}
