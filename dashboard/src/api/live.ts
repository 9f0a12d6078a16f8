/**
 * What happens, as it happens: one WebSocket per tab while anybody listens.
 *
 * It comes back by itself and asks for what it missed (`since`), so nobody has to poll.
 */
import { useEffect, useRef, useSyncExternalStore } from "react";
import { api, ok, seenUpTo } from "./client";

export interface LiveEvent {
  cursor: string;
  type: string;
  teamId: string;
  timestamp: string;
  deploymentId?: string;
  keyId?: string;
  data?: Record<string, unknown>;
}

export type LiveState = "connecting" | "open" | "waiting";

const WAIT_SECONDS_MAX = 30;

interface Listener {
  concerned: (event: LiveEvent) => boolean;
  changed: () => void;
}

const listeners = new Set<Listener>();
const watchers = new Set<() => void>();
let state: LiveState = "connecting";
let socket: WebSocket | undefined;
let round = 0; // of whoever wants the socket now; 0: nobody does
let rounds = 0;
let since: string | undefined;
let failures = 0;

/** Keeps the socket open as long as the component is there. */
export function useLiveSocket(): void {
  useEffect(() => {
    round = rounds += 1;
    void connect(round);
    return () => {
      round = 0;
      since = undefined;
      socket?.close();
      socket = undefined;
    };
  }, []);
}

/**
 * Calls `changed` when something happened that the component shows, and when the socket has opened:
 * nobody knows what happened before.
 */
export function useLive(concerned: (event: LiveEvent) => boolean, changed: () => void): void {
  const latest = useRef({ concerned, changed });
  latest.current = { concerned, changed };
  useEffect(() => {
    const listener: Listener = {
      concerned: (event) => latest.current.concerned(event),
      changed: () => latest.current.changed(),
    };
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
    };
  }, []);
}

/** Returns whether events arrive at present. */
export function useLiveState(): LiveState {
  return useSyncExternalStore(
    (watcher) => {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
    () => state,
  );
}

/** Returns the address of a WebSocket of this platform. */
export async function socketAddress(path: string, query: Record<string, string>): Promise<string> {
  const { ticket } = await ok(api.POST("/v1/events/ticket"));
  const address = new URL(path, window.location.href);
  address.protocol = address.protocol.replace("http", "ws");
  address.search = new URLSearchParams({ ...query, ticket }).toString();
  return address.toString();
}

async function connect(mine: number): Promise<void> {
  become("connecting");
  const address = await socketAddress("/v1/events", since ? { since } : {}).catch(() => undefined);
  if (mine !== round) return;
  if (address === undefined) return retry(mine);
  const opened = new WebSocket(address);
  socket = opened;
  opened.addEventListener("open", () => {
    failures = 0;
    become("open");
    listeners.forEach((listener) => listener.changed());
  });
  opened.addEventListener("message", (message: MessageEvent<string>) => {
    const event = JSON.parse(message.data) as LiveEvent;
    since = event.cursor;
    seenUpTo(Math.floor(Number(event.cursor))); // whoever reads because of it has to find it there
    listeners.forEach((listener) => listener.concerned(event) && listener.changed());
  });
  opened.addEventListener("close", () => {
    if (mine === round) retry(mine);
  });
}

function retry(mine: number): void {
  become("waiting");
  failures += 1;
  const seconds = Math.min(2 ** failures, WAIT_SECONDS_MAX) * (0.5 + Math.random() / 2);
  setTimeout(() => mine === round && void connect(mine), seconds * 1000);
}

function become(next: LiveState): void {
  state = next;
  watchers.forEach((watcher) => watcher());
}
