import { useState } from "react";
import { Button } from "./Button";

/** A text of a program, to be taken along. */
export function Code({ text, label }: { text: string; label: string }) {
  return (
    <div className="code">
      <pre tabIndex={0} aria-label={label}>
        {text}
      </pre>
      <Copy text={text} what={label} />
    </div>
  );
}

const SHEETS = "M9 9h11v11H9zM5 15H4V4h11v1";
const TICK = "M5 12l5 5 9-10";

/** Puts a text into the clipboard. */
export function Copy({
  text,
  what,
  small = false,
}: {
  text: string;
  what: string;
  /** A sign instead of the word, beside something short. */
  small?: boolean;
}) {
  const [copied, setCopied] = useState(false);
  return (
    <Button
      look="secondary"
      small
      className={small ? "icon" : ""}
      title={small ? "Copy" : undefined}
      aria-label={`Copy ${what}`}
      onClick={() => {
        void copy(text).then(() => {
          setCopied(true);
          setTimeout(() => setCopied(false), 2000);
        });
      }}
    >
      {small && (
        <svg viewBox="0 0 24 24" aria-hidden>
          <path d={copied ? TICK : SHEETS} />
        </svg>
      )}
      <span aria-live="polite" className={small ? "visually-hidden" : undefined}>
        {copied ? "Copied" : small ? "" : "Copy"}
      </span>
    </Button>
  );
}

async function copy(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Without TLS browsers have no clipboard, but they still know the old way.
  const area = document.createElement("textarea");
  area.value = text;
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
