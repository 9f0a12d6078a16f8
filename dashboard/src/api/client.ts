/**
 * The API, typed by its own OpenAPI document.
 *
 * Every request carries the access token. A write can be repeated without harm, because it has an
 * Idempotency-Key, so it is when its answer was lost; a read sees every write that went before it
 * in this tab, because it names the position of the last one.
 */
import createClient from "openapi-fetch";
import { accessToken, renew } from "../session/session";
import { stepUp } from "../session/stepUp";
import { Failure, failureOf } from "./failure";
import type { components, paths } from "./schema";

export type Schema = components["schemas"];

const ATTEMPTS = 3;
const WAIT_SECONDS_MAX = 20;
const POSITION = "X-Tallyport-Position";

let position = 0;

export const api = createClient<paths>({ fetch: (request) => send(request) });

/** Returns what was answered; throws a `Failure` for a refusal. */
export async function ok<Data>(
  asked: Promise<{ data?: Data; error?: unknown; response: Response }>,
): Promise<Data> {
  const { data, error, response } = await asked;
  if (!response.ok) throw failureOf(response.status, error);
  return data as Data;
}

/** Sends a request with everything a request needs, and again where that can help. */
export async function send(request: Request): Promise<Response> {
  const reading = request.method === "GET";
  const signingIn = new URL(request.url).pathname.startsWith("/v1/auth/");
  if (!reading && !signingIn) request.headers.set("Idempotency-Key", randomName());
  if (reading && position > 0) request.headers.set("X-Tallyport-Min-Position", String(position));
  for (let attempt = 1; ; attempt += 1) {
    const token = await accessToken();
    if (token !== undefined) request.headers.set("Authorization", `Bearer ${token}`);
    const last = attempt === ATTEMPTS;
    try {
      const answer = await fetch(request.clone());
      seenUpTo(Number(answer.headers.get(POSITION)));
      if (answer.status === 401 && token !== undefined && !signingIn && !last) {
        if (!(await renew())) return answer;
      } else if (answer.status === 403 && !last && (await asksForMore(answer))) {
        if (!(await stepUp())) return answer;
        request.headers.set("Idempotency-Key", randomName());
      } else if (last || !mayHelp(answer, reading)) return answer;
      else await pause(Number(answer.headers.get("Retry-After")) || attempt, request.signal);
    } catch (error) {
      if (last || request.signal.aborted || signingIn) throw error;
      await pause(attempt, request.signal);
    }
  }
}

/** Lets every read from now on see what happened up to a position of the log. */
export function seenUpTo(known: number): void {
  position = Math.max(position, known);
}

/** 128 random bits as text. */
export function randomName(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function mayHelp(answer: Response, reading: boolean): boolean {
  if (answer.status !== 503 && !(answer.status === 429 && reading)) return false;
  return (Number(answer.headers.get("Retry-After")) || 1) <= WAIT_SECONDS_MAX;
}

async function asksForMore(answer: Response): Promise<boolean> {
  const problem = (await answer
    .clone()
    .json()
    .catch(() => ({}))) as { error?: { code: string } };
  return problem.error?.code === "step_up_required";
}

function pause(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) reject(new Failure(0, "aborted", "No longer needed."));
    setTimeout(resolve, seconds * 1000);
  });
}
