/**
 * Lines of programs, made harmless to read: what a terminal would take as an order (colours, moves of
 * the cursor, titles, links) is left out, and what turns the direction of writing round is named.
 */

const ORDERS = new RegExp(
  [
    "\\u001b\\[[0-?]*[ -/]*[@-~]",
    "\\u001b[\\]PX^_][^\\u0007\\u001b]*(?:\\u0007|\\u001b\\\\)?",
    "\\u001b[ -/]*[0-~]?",
    "[\\u0000-\\u0008\\u000a-\\u001f\\u007f-\\u009f\\u2028\\u2029]",
  ].join("|"),
  "g",
);
const TURNS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Returns a text that is nothing but seen. */
export function plain(text: string): string {
  return text
    .replace(ORDERS, "")
    .replace(TURNS, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Returns what a line says: of one that is JSON its message, and the rest after it. */
export function wordsOf(line: string): { said: string; rest: string } {
  const fields = fieldsOf(line);
  if (!fields) return { said: plain(line), rest: "" };
  const { message, msg, level: _level, timestamp: _timestamp, ...others } = fields;
  const rest = Object.entries(others)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return { said: plain(String(message ?? msg)), rest: plain(rest.join(" ")) };
}

function fieldsOf(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    const fields = JSON.parse(line) as Record<string, unknown>;
    return "message" in fields || "msg" in fields ? fields : undefined;
  } catch {
    return undefined;
  }
}
