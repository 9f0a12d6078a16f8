import type { ReactNode } from "react";
import type { Action } from "../api/useAction";
import { FailureNotice } from "./Notice";

/** A form whose fields are read when it is sent. What was refused is said above its buttons. */
export function Form({
  action,
  children,
  buttons,
}: {
  action: Action<[FormData]>;
  children: ReactNode;
  buttons: ReactNode;
}) {
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        void action.run(new FormData(event.currentTarget));
      }}
    >
      {children}
      <FailureNotice failure={action.failure} />
      <div className="row">{buttons}</div>
    </form>
  );
}
