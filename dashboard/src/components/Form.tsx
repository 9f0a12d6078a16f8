import type { ReactNode } from "react";
import type { Action } from "../api/useAction";
import { FailureNotice } from "./Notice";

/** A form whose fields are read when it is sent. What was refused is said above its buttons. */
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
        void action.run(new FormData(form)).then((done) => done && emptied && form.reset());
      }}
    >
      {children}
      <FailureNotice failure={action.failure} />
      <div className="row">{buttons}</div>
    </form>
  );
}
