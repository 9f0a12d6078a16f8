import type { ReactNode } from "react";

/** One number that matters, and what it is. */
export function Stat({ name, value }: { name: string; value: ReactNode }) {
  return (
    <div className="stat">
      <span className="name">{name}</span>
      <span className="value">{value}</span>
    </div>
  );
}
