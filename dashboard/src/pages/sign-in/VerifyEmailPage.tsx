import { useState } from "react";
import { api, ok } from "../../api/client";
import { useAction } from "../../api/useAction";
import { Button, LinkButton } from "../../components/Button";
import { FailureNotice } from "../../components/Notice";
import { Gate } from "./Gate";
import { IncompleteLink } from "./IncompleteLink";
import { linkToken } from "./links";

/** One click, because programs that look at mails open links, too. */
export function VerifyEmailPage() {
  const [told, setTold] = useState<string>();
  const [token] = useState(linkToken);
  const verify = useAction(async () => {
    setTold((await ok(api.POST("/v1/auth/verify-email", { body: { token } }))).message);
  });
  if (told) {
    return (
      <Gate title="Verified" lead="The address is yours.">
        <LinkButton to="/">Go on</LinkButton>
      </Gate>
    );
  }
  if (!token) return <IncompleteLink />;
  return (
    <Gate title="Is this address yours?" lead="Then say so, and your account can use it.">
      <FailureNotice failure={verify.failure} />
      <div className="row">
        <Button busy={verify.busy} onClick={() => void verify.run()}>
          Verify my address
        </Button>
      </div>
    </Gate>
  );
}
