import { useState } from "react";
import { api, ok } from "../../api/client";
import { useAction } from "../../api/useAction";
import { Button, LinkButton } from "../../components/Button";
import { FailureNotice } from "../../components/Notice";
import { Link } from "../../routing/router";
import { useSession } from "../../session/session";
import { Gate } from "./Gate";
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
        <p>
          <Link to="/sign-up">Sign up</Link> or <Link to="/sign-in">sign in</Link> first, then open{" "}
          <Link to="/setup">this page</Link> again.
        </p>
      )}
    </Gate>
  );
}
