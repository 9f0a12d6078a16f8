/** Returns the token of a link from a mail. It stands after the #, so it is never sent unasked. */
export function linkToken(): string {
  return decodeURIComponent(window.location.hash.slice(1));
}

const COMES_BACK_TO = "tallyport-comes-back-to";

/** Remembers, for this tab, the page that somebody has to sign in for. */
export function comeBackTo(path: string): void {
  sessionStorage.setItem(COMES_BACK_TO, path);
}

/** Returns where somebody who has signed in wanted to be, once. */
export function whereTo(): string {
  const path = sessionStorage.getItem(COMES_BACK_TO) ?? "/";
  sessionStorage.removeItem(COMES_BACK_TO);
  return path;
}
