/** Returns the token of a link from a mail. It stands after the #, so it is never sent unasked. */
export function linkToken(): string {
  return decodeURIComponent(window.location.hash.slice(1));
}
