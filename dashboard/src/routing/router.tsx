/** Pages by their path: a list of patterns, links that do not reload, and the way back. */
import { useEffect, useSyncExternalStore, type AnchorHTMLAttributes, type ReactNode } from "react";

export type Params = Record<string, string>;

export interface Route {
  /** `/deployments/:id`; each part after a colon is a parameter. */
  path: string;
  page: (params: Params) => ReactNode;
}

const MOVED = "tallyport-moved";

/** Returns the path of the page, and renders again when it changes. */
export function usePath(): string {
  return useSyncExternalStore(listen, () => window.location.pathname);
}

/** Returns what stands after the question mark, and renders again when it changes. */
export function useQuery(): URLSearchParams {
  const search = useSyncExternalStore(listen, () => window.location.search);
  return new URLSearchParams(search);
}

/** Goes to another page. */
export function navigate(to: string, { replace = false } = {}): void {
  const before = window.location.pathname;
  window.history[replace ? "replaceState" : "pushState"](null, "", to);
  window.dispatchEvent(new Event(MOVED));
  if (before !== window.location.pathname) window.scrollTo(0, 0);
}

/** Changes what stands after the question mark; an empty value takes its name out. */
export function setQuery(changes: Record<string, string>): void {
  const query = new URLSearchParams(window.location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === "") query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  navigate(window.location.pathname + (text && `?${text}`), { replace: true });
}

/** Returns the first route that fits, with its parameters. */
export function match(
  routes: readonly Route[],
  path: string,
): { route: Route; params: Params } | undefined {
  const parts = partsOf(path);
  for (const route of routes) {
    const params = fit(partsOf(route.path), parts);
    if (params) return { route, params };
  }
  return undefined;
}

function fit(pattern: string[], parts: string[]): Params | undefined {
  if (pattern.length !== parts.length) return undefined;
  const params: Params = {};
  for (const [index, wanted] of pattern.entries()) {
    const part = parts[index] ?? "";
    if (wanted.startsWith(":")) params[wanted.slice(1)] = decoded(part);
    else if (wanted !== part) return undefined;
  }
  return params;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function partsOf(path: string): string[] {
  return path.split("/").filter((part) => part !== "");
}

function listen(listener: () => void): () => void {
  window.addEventListener("popstate", listener);
  window.addEventListener(MOVED, listener);
  return () => {
    window.removeEventListener("popstate", listener);
    window.removeEventListener(MOVED, listener);
  };
}

type LinkProps = Omit<AnchorHTMLAttributes<HTMLAnchorElement>, "href"> & { to: string };

/** A link to another page of the dashboard. */
export function Link({ to, onClick, ...rest }: LinkProps) {
  return (
    <a
      {...rest}
      href={to}
      onClick={(event) => {
        onClick?.(event);
        const plain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey);
        if (event.defaultPrevented || !plain || rest.target) return;
        event.preventDefault();
        navigate(to);
      }}
    />
  );
}

/** Goes to another page at once. */
export function Redirect({ to }: { to: string }) {
  useEffect(() => navigate(to, { replace: true }), [to]);
  return null;
}
