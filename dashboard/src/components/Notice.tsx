import type { ReactNode } from "react";
import type { Failure } from "../api/failure";
import { Button } from "./Button";

/** Something to know. */
export function Notice({
  tone = "",
  children,
}: {
  tone?: "" | "bad" | "warn" | "good";
  children: ReactNode;
}) {
  return <div className={`notice ${tone}`}>{children}</div>;
}

/** What was refused and why, in the words of the API. */
export function FailureNotice({ failure, retry }: { failure?: Failure; retry?: () => void }) {
  if (!failure) return null;
  return (
    <div className="notice bad" role="alert">
      <strong>{failure.message}</strong>
      {failure.details.length > 0 && (
        <ul className="small">
          {failure.details.map((detail) => (
            <li key={`${detail.field} ${detail.message}`}>
              <code>{detail.field}</code> {detail.message}
            </li>
          ))}
        </ul>
      )}
      <div className="row small">
        {failure.status > 0 && (
          <a href={`/problems/${failure.code}`} target="_blank" rel="noreferrer">
            What to do
          </a>
        )}
        {failure.requestId && <span className="soft">Request {failure.requestId}</span>}
        {retry && (
          <Button look="secondary" small onClick={retry}>
            Try again
          </Button>
        )}
      </div>
    </div>
  );
}

/** Nothing here yet: what it would be, and how to begin. */
export function Empty({ title, children }: { title: string; children: ReactNode }) {
  return (
    <div className="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

/** Something is on its way. */
export function Loading({ what = "Loading" }: { what?: string }) {
  return (
    <div className="empty soft" role="status">
      <span className="spinner" aria-hidden />
      <span>{what} …</span>
    </div>
  );
}
