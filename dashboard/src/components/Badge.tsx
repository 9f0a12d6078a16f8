/** How something stands, as a word and a colour. */

type Tone = "" | "good" | "warn" | "bad";

const TONES: Record<string, Tone> = {
  running: "good",
  live: "good",
  healthy: "good",
  active: "good",
  ready: "good",
  verified: "good",
  failed: "bad",
  unhealthy: "bad",
  suspended: "bad",
  degraded: "warn",
  pending: "warn",
  updating: "warn",
  scaling: "warn",
  starting: "warn",
  stopping: "warn",
  deleting: "warn",
};
const MOVING = new Set(["pending", "updating", "scaling", "starting", "stopping", "deleting"]);

export function Badge({ status }: { status: string }) {
  const moving = MOVING.has(status) ? " moving" : "";
  return <span className={`badge ${TONES[status] ?? ""}${moving}`}>{status}</span>;
}

/** A word that belongs to a thing: a role, a method. */
export function Tag({ children, tone = "" }: { children: React.ReactNode; tone?: Tone }) {
  return <span className={`badge plain ${tone}`}>{children}</span>;
}
