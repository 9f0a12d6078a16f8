import type { ReactNode } from "react";
import type { Action } from "../api/useAction";
import { FailureNotice } from "./Notice";

/** A form whose fields, and pressed button, are read when it is sent. What was refused is said above its buttons. */
export function Form({
  action,
  children,
  buttons,
  emptied = false,
}: {
  action: Action<[FormData]>;
  children: ReactNode;
  buttons: ReactNode;
  /** Whether it is ready for the next one once this one is done. */
  emptied?: boolean;
}) {
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        const form = event.currentTarget;
        const { submitter } = event.nativeEvent as SubmitEvent;
        void action
          .run(new FormData(form, submitter))
          .then((done) => done && emptied && form.reset());
      }}
    >
      {children}
      <FailureNotice failure={action.failure} />
      <div className="row">{buttons}</div>
    </form>
  );
}
