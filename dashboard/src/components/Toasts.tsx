import { useSyncExternalStore } from "react";

interface Toast {
  id: number;
  text: string;
}

const SECONDS = 5;

let toasts: readonly Toast[] = [];
let last = 0;
const listeners = new Set<() => void>();

/** Says for a moment that something was done. */
export function tell(text: string): void {
  const toast = { id: (last += 1), text };
  become([...toasts.slice(-2), toast]);
  setTimeout(() => become(toasts.filter((one) => one !== toast)), SECONDS * 1000);
}

/** Where it is said: once, around everything. */
export function Toasts() {
  const shown = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => toasts,
  );
  return (
    <div className="toasts" role="status" aria-live="polite">
      {shown.map((toast) => (
        <div className="toast" key={toast.id}>
          {toast.text}
        </div>
      ))}
    </div>
  );
}

function become(next: readonly Toast[]): void {
  toasts = next;
  listeners.forEach((listener) => listener());
}
