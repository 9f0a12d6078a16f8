import { useId, useLayoutEffect, useRef, useState, type ReactNode } from "react";
import { useAction } from "../api/useAction";
import { Button } from "./Button";
import { Field } from "./Field";
import { FailureNotice } from "./Notice";

/** A question or a form before everything else. Escape closes it, unless it must be answered. */
export function Dialog({
  title,
  close,
  insists = false,
  children,
}: {
  title: string;
  close: () => void;
  insists?: boolean;
  children: ReactNode;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  // Closed before it leaves the page: only then the focus goes back to where it was.
  useLayoutEffect(() => {
    const shown = dialog.current;
    if (shown && !shown.open) shown.showModal();
    return () => shown?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        if (!insists) close();
      }}
    >
      <div>
        <h2 id={id}>{title}</h2>
        {children}
      </div>
    </dialog>
  );
}

/** What a form in a dialog ends with: doing it, and doing nothing. */
export function DialogButtons({
  verb,
  busy,
  danger = false,
  close,
}: {
  verb: string;
  busy: boolean;
  /** It does harm, and looks it. */
  danger?: boolean;
  close: () => void;
}) {
  const look = danger ? ({ look: "danger", className: "sure" } as const) : {};
  return (
    <>
      <Button type="submit" {...look} busy={busy}>
        {verb}
      </Button>
      <Button look="secondary" onClick={close}>
        Cancel
      </Button>
    </>
  );
}

/** Asks before harm is done; for what cannot be undone, by its name typed out. */
export function Confirm({
  title,
  children,
  verb,
  typed,
  act,
  close,
}: {
  title: string;
  children: ReactNode;
  verb: string;
  /** What has to be typed. */
  typed?: string;
  act: () => Promise<unknown>;
  close: () => void;
}) {
  const [text, setText] = useState("");
  const action = useAction(act);
  return (
    <Dialog title={title} close={close}>
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          void action.run().then((done) => done && close());
        }}
      >
        <div className="stack tight wrap">{children}</div>
        {typed !== undefined && (
          <Field
            label={`Type ${typed} to confirm`}
            value={text}
            autoFocus
            spellCheck={false}
            autoCapitalize="none"
            onChange={(event) => setText(event.target.value)}
          />
        )}
        <FailureNotice failure={action.failure} />
        <div className="row end">
          <Button look="secondary" onClick={close}>
            Cancel
          </Button>
          <Button
            type="submit"
            look="danger"
            className="sure"
            busy={action.busy}
            disabled={typed !== undefined && text !== typed}
          >
            {verb}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
