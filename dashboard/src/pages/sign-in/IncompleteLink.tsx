import type { ReactNode } from "react";
import { LinkButton } from "../../components/Button";
import { Gate } from "./Gate";

/** For an address that came without what a mail's link ends with. */
export function IncompleteLink({ children }: { children?: ReactNode }) {
  return (
    <Gate
      title="This link is not complete"
      lead="Its last part is missing. Open it from the mail, or copy the whole line."
    >
      <div className="row">
        <LinkButton to="/" look="secondary">
          Go home
        </LinkButton>
        {children}
      </div>
    </Gate>
  );
}
