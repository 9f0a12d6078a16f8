import {
  useId,
  type InputHTMLAttributes,
  type ReactNode,
  type SelectHTMLAttributes,
  type TextareaHTMLAttributes,
} from "react";
import type { Failure } from "../api/failure";

interface Around {
  label: string;
  hint?: ReactNode;
  /** What was refused: shown here when it is about this field. */
  failure?: Failure;
  /** As the API calls the field, when that is not `name`. */
  field?: string;
}

interface Wiring {
  id: string;
  "aria-describedby"?: string;
  "aria-invalid"?: boolean;
}

function Labelled({
  label,
  hint,
  wrong,
  children,
}: {
  label: string;
  hint?: ReactNode;
  wrong?: string;
  children: (wiring: Wiring) => ReactNode;
}) {
  const id = useId();
  const described = [hint && `${id}-hint`, wrong && `${id}-wrong`].filter(Boolean).join(" ");
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children({
        id,
        "aria-describedby": described || undefined,
        "aria-invalid": wrong ? true : undefined,
      })}
      {wrong && (
        <span className="wrong" id={`${id}-wrong`}>
          {wrong}
        </span>
      )}
      {hint && (
        <span className="hint" id={`${id}-hint`}>
          {hint}
        </span>
      )}
    </div>
  );
}

type FieldProps = Around & InputHTMLAttributes<HTMLInputElement>;

/** One line of text, a number or a date, with its label, a hint and what is wrong with it. */
export function Field({ label, hint, failure, field, ...input }: FieldProps) {
  const wrong = failure?.of(field ?? input.name ?? "");
  return (
    <Labelled label={label} hint={hint} wrong={wrong}>
      {(wiring) => <input {...wiring} autoComplete="off" {...input} />}
    </Labelled>
  );
}

type AreaProps = Around & TextareaHTMLAttributes<HTMLTextAreaElement>;

/** Several lines of text. */
export function Area({ label, hint, failure, field, ...area }: AreaProps) {
  const wrong = failure?.of(field ?? area.name ?? "");
  return (
    <Labelled label={label} hint={hint} wrong={wrong}>
      {(wiring) => <textarea {...wiring} {...area} />}
    </Labelled>
  );
}

type SelectProps = Around & SelectHTMLAttributes<HTMLSelectElement>;

/** One of a few. */
export function Select({ label, hint, failure, field, children, ...select }: SelectProps) {
  const wrong = failure?.of(field ?? select.name ?? "");
  return (
    <Labelled label={label} hint={hint} wrong={wrong}>
      {(wiring) => (
        <select {...wiring} {...select}>
          {children}
        </select>
      )}
    </Labelled>
  );
}

/** Yes or no. */
export function Check({
  label,
  hint,
  ...input
}: { label: ReactNode; hint?: ReactNode } & InputHTMLAttributes<HTMLInputElement>) {
  const id = useId();
  return (
    <div className="check">
      <input
        {...input}
        type="checkbox"
        id={id}
        aria-describedby={hint ? `${id}-hint` : undefined}
      />
      <div>
        <label htmlFor={id}>{label}</label>
        {hint && (
          <div className="soft small" id={`${id}-hint`}>
            {hint}
          </div>
        )}
      </div>
    </div>
  );
}

/** Returns a field of a form as text. */
export function textOf(form: FormData, name: string): string {
  const value = form.get(name);
  return typeof value === "string" ? value : "";
}
