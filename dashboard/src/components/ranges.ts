/** Spans of time that end now. */

export type Range = "1h" | "24h" | "7d" | "30d";

export const RANGES: ReadonlyArray<{ value: Range; name: string }> = [
  { value: "1h", name: "Hour" },
  { value: "24h", name: "Day" },
  { value: "7d", name: "Week" },
  { value: "30d", name: "Month" },
];

const HOURS: Record<Range, number> = { "1h": 1, "24h": 24, "7d": 168, "30d": 720 };

/** Returns when a span begins that ends now. */
export function startOf(range: Range): string {
  return new Date(Date.now() - HOURS[range] * 3_600_000).toISOString();
}
