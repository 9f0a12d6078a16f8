import { api, ok } from "../../api/client";
import { useAction } from "../../api/useAction";
import { useLoad } from "../../api/useLoad";
import { Button, LinkButton } from "../../components/Button";
import { Moment } from "../../components/Moment";
import { FailureNotice, Notice } from "../../components/Notice";
import { Show } from "../../components/Show";
import { tell } from "../../components/Toasts";
import { navigate } from "../../routing/router";
import { useSession } from "../../session/session";
import { Gate } from "./Gate";
import { Strangers } from "./Strangers";

/** Into whose team one is invited, and the way in. */
export function InvitationPage({ token }: { token: string }) {
  const session = useSession();
  const params = { path: { token } };
  const preview = useLoad(`invitation ${token}`, (signal) =>
    ok(api.GET("/v1/invitations/{token}", { params, signal })),
  );
  const accept = useAction(async () => {
    const member = await ok(api.POST("/v1/invitations/{token}/accept", { params }));
    tell(`You are a member of ${member.name}.`);
    navigate(`/teams/${member.teamId}`, { replace: true });
  });
  if (preview.failure?.status === 404) {
    return (
      <Gate
        title="No such invitation"
        lead="The link is mistyped, or the invitation was taken back. Ask for another one."
      >
        <div>
          <LinkButton to="/" look="secondary">
            Go home
          </LinkButton>
        </div>
      </Gate>
    );
  }
  return (
    <Gate title="An invitation">
      <Show of={preview}>
        {(shown) => (
          <>
            <p className="wrap">
              {shown.invitedBy ?? "Somebody"} invites you to join <strong>{shown.teamName}</strong>{" "}
              as {shown.role}. The link ends <Moment at={shown.expiresAt} />.
            </p>
            <FailureNotice failure={accept.failure} />
            {session.status === "in" ? (
              <div className="row">
                <Button busy={accept.busy} onClick={() => void accept.run()}>
                  Join as {session.user.username}
                </Button>
              </div>
            ) : (
              <>
                <Notice>
                  Sign up, or sign in, with the address that the mail came to. Then you come back
                  here.
                </Notice>
                <Strangers path={`/invitations/${encodeURIComponent(token)}`} />
              </>
            )}
          </>
        )}
      </Show>
    </Gate>
  );
}
