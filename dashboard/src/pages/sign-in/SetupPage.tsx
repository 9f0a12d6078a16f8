import { useState } from "react";
import { api, ok } from "../../api/client";
import { useAction } from "../../api/useAction";
import { Button, LinkButton } from "../../components/Button";
import { FailureNotice } from "../../components/Notice";
import { useSession } from "../../session/session";
import { Gate } from "./Gate";
import { Strangers } from "./Strangers";
import { IncompleteLink } from "./IncompleteLink";
import { linkToken } from "./links";

const KEPT = "tallyport-setup";

/** Makes whoever follows the link of a new installation the one who looks after it. */
export function SetupPage() {
  const session = useSession();
  const [done, setDone] = useState(false);
  const [token] = useState(() => {
    const found = linkToken() || (sessionStorage.getItem(KEPT) ?? "");
    if (found) sessionStorage.setItem(KEPT, found); // to go on after signing up
    return found;
  });
  const setUp = useAction(async () => {
    await ok(api.POST("/v1/setup", { body: { token } }));
    sessionStorage.removeItem(KEPT);
    setDone(true);
  });
  if (done) {
    return (
      <Gate title="It is yours to look after" lead="You are an admin of this platform now.">
        <LinkButton to="/">Go on</LinkButton>
      </Gate>
    );
  }
  if (!token) {
    return (
      <IncompleteLink>
        <p className="soft small">
          On the server, <code>tallyport admin create</code> prints another.
        </p>
      </IncompleteLink>
    );
  }
  return (
    <Gate
      title="Look after this platform"
      lead="This link makes one person its admin: who sees to people, teams and the machine."
    >
      {session.status === "in" ? (
        <>
          <FailureNotice failure={setUp.failure} />
          <div className="row">
            <Button busy={setUp.busy} onClick={() => void setUp.run()}>
              Make {session.user.username} the admin
            </Button>
          </div>
        </>
      ) : (
        <>
          <p>Sign up or sign in first. Then you come back here.</p>
          <Strangers path="/setup" />
        </>
      )}
    </Gate>
  );
}
