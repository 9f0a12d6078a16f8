import type { ButtonHTMLAttributes } from "react";
import { Link } from "../routing/router";

type Look = "primary" | "secondary" | "quiet" | "danger";

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  look?: Look;
  small?: boolean;
  /** Being done: shown, and not to be pressed again. */
  busy?: boolean;
}

export function Button({
  look = "primary",
  small = false,
  busy = false,
  type = "button",
  className = "",
  disabled,
  children,
  ...rest
}: ButtonProps) {
  return (
    <button
      {...rest}
      type={type}
      className={`button ${look}${small ? " small" : ""} ${className}`}
      disabled={disabled || busy}
      aria-busy={busy || undefined}
    >
      {busy && <span className="spinner" aria-hidden />}
      {children}
    </button>
  );
}

/** A link that looks like a button. */
export function LinkButton({
  to,
  look = "primary",
  small = false,
  children,
}: {
  to: string;
  look?: Look;
  small?: boolean;
  children: React.ReactNode;
}) {
  return (
    <Link to={to} className={`button ${look}${small ? " small" : ""}`}>
      {children}
    </Link>
  );
}
