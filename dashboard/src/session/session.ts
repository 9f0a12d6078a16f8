/**
 * Who is signed in, in this browser.
 *
 * The access token lives in memory only. What renews it is a cookie that no script can read, so a
 * script that does not belong here could not carry a session away. Tabs share the cookie: they
 * renew one after another, and tell each other when somebody signed in or out.
 */
import { useSyncExternalStore } from "react";

export interface User {
  id: string;
  username: string;
  email: string;
}

export interface SignedIn {
  accessToken: string;
  expiresAt: string;
  user: User;
}

export type Session =
  | { status: "unknown" }
  | { status: "out"; because?: string }
  | {
      status: "in";
      user: User;
      /** An admin acts as this person. */
      acting?: boolean;
    };

/** Asks the API to keep the refresh token in a cookie instead of telling it to the page. */
export const COOKIE_SESSION = { "X-Tallyport-Session": "cookie" };

const RENEW_BEFORE_MS = 30_000;
const HINT = "tallyport-session"; // only says that it is worth asking; it is no credential
const OVER = "Your session has ended. Sign in again.";

let session: Session = { status: "unknown" };
let token: { text: string; endsAt: number } | undefined;
let renewing: Promise<boolean> | undefined;
const listeners = new Set<() => void>();
const tabs = "BroadcastChannel" in window ? new BroadcastChannel(HINT) : undefined;

tabs?.addEventListener("message", (message: MessageEvent<"in" | "out">) => {
  token = undefined;
  if (message.data === "out") become({ status: "out" });
  else void renew();
});

/** Returns the session, and renders again when it changes. */
export function useSession(): Session {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => session,
  );
}

/** Finds out whether somebody is signed in. */
export async function restoreSession(): Promise<void> {
  if (localStorage.getItem(HINT) === null) become({ status: "out" });
  else await renew();
}

/** Takes over what the API answered to a sign-in. */
export function signedIn(answer: SignedIn): void {
  keep(answer);
  localStorage.setItem(HINT, "1");
  tabs?.postMessage("in");
  become({ status: "in", user: answer.user });
}

/** Forgets the session, here and in the other tabs. */
export function signedOut(because?: string): void {
  token = undefined;
  localStorage.removeItem(HINT);
  tabs?.postMessage("out");
  become({ status: "out", because });
}

/** Lets an admin act as somebody, in this tab only, until the token they got for it has ended. */
export function actAs(answer: SignedIn): void {
  keep(answer);
  become({ status: "in", user: answer.user, acting: true });
}

/** Lets an admin be themselves again: the cookie is still theirs. */
export async function beOneself(): Promise<void> {
  token = undefined;
  await renew();
}

/** Shows another name or address of who is signed in. */
export function renamed(user: User): void {
  if (session.status === "in") become({ status: "in", user });
}

/** Returns a token that is good for a while yet; undefined when nobody is signed in. */
export async function accessToken(): Promise<string | undefined> {
  if (session.status === "out") return undefined;
  if (token === undefined || token.endsAt - Date.now() < RENEW_BEFORE_MS) await renew();
  return token?.text;
}

/** Gets a new token; false when the session is over. At most one request at a time. */
export function renew(): Promise<boolean> {
  renewing ??= oneTabAtATime(askForToken).finally(() => {
    renewing = undefined;
  });
  return renewing;
}

async function askForToken(): Promise<boolean> {
  for (let attempt = 0; ; attempt += 1) {
    const answer = await fetch("/v1/auth/refresh", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...COOKIE_SESSION },
      body: "{}",
    }).catch(() => undefined);
    if (answer?.ok) {
      const found = (await answer.json()) as SignedIn;
      keep(found);
      localStorage.setItem(HINT, "1");
      become({ status: "in", user: found.user });
      return true;
    }
    if (answer?.status === 401) {
      const wasIn = session.status === "in";
      signedOut(wasIn ? OVER : undefined);
      return false;
    }
    // Too often, or away: the session may well be good.
    await new Promise((resolve) => setTimeout(resolve, waitMs(answer, attempt)));
  }
}

function waitMs(answer: Response | undefined, attempt: number): number {
  const seconds = Number(answer?.headers.get("Retry-After"));
  return seconds > 0 ? seconds * 1000 : Math.min(1000 * 2 ** attempt, 15_000);
}

async function oneTabAtATime(task: () => Promise<boolean>): Promise<boolean> {
  return "locks" in navigator ? await navigator.locks.request(HINT, task) : await task();
}

function keep(answer: SignedIn): void {
  token = { text: answer.accessToken, endsAt: Date.parse(answer.expiresAt) };
}

function become(next: Session): void {
  session = next;
  listeners.forEach((listener) => listener());
}
