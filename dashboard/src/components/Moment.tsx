import { useEffect, useState } from "react";

const STEPS: ReadonlyArray<[seconds: number, unit: Intl.RelativeTimeFormatUnit]> = [
  [86_400 * 365, "year"],
  [86_400 * 30, "month"],
  [86_400, "day"],
  [3600, "hour"],
  [60, "minute"],
];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** A moment as people say it; the exact one on hovering. */
export function Moment({ at, never = "never" }: { at?: string | null; never?: string }) {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 30_000);
    return () => clearInterval(timer);
  }, []);
  if (!at) return <span className="soft">{never}</span>;
  return (
    <time dateTime={at} title={exactly(at)}>
      {said(Date.parse(at), Math.max(now, Date.now()))}
    </time>
  );
}

/** Returns a moment as date and time of this place. */
export function exactly(at: string): string {
  return exact.format(new Date(at));
}

function said(at: number, now: number): string {
  const seconds = (at - now) / 1000;
  for (const [size, unit] of STEPS) {
    if (Math.abs(seconds) >= size) return relative.format(Math.round(seconds / size), unit);
  }
  return seconds > 0 ? "in a moment" : "just now";
}
