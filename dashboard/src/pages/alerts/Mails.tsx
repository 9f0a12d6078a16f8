import { api, ok } from "../../api/client";
import { useAction } from "../../api/useAction";
import { useLoad } from "../../api/useLoad";
import { Button } from "../../components/Button";
import { FailureNotice } from "../../components/Notice";
import { Show } from "../../components/Show";
import { tell } from "../../components/Toasts";
import type { Team } from "../../session/teams";

/** Whether letters about a team's alerts come to oneself, and turning them off or on. */
export function Mails({ team }: { team: Team }) {
  const preferences = useLoad(`alert mails ${team.id}`, (signal) =>
    ok(api.GET("/v1/alerts/preferences", { params: { query: { teamId: team.id } }, signal })),
  );
  const choose = useAction(async (mail: boolean) => {
    await ok(api.PUT("/v1/alerts/preferences", { body: { teamId: team.id, mail } }));
    tell(mail ? "Mails come to you" : "No mails come to you");
    preferences.reload();
  });
  return (
    <section className="card stack" aria-labelledby="mails">
      <h2 id="mails">Mails to you</h2>
      <Show of={preferences}>
        {({ mail, chosen }) => (
          <>
            <p>
              {mail
                ? "You get a letter when trouble of a rule with mail begins, and one when it is over."
                : "No letters about this team’s alerts come to you."}
              {!chosen && (
                <span className="soft">
                  {" "}
                  {mail
                    ? "You manage this team, so it is so until you say otherwise."
                    : "They come to owners and admins, and to whoever turns them on."}
                </span>
              )}
            </p>
            <FailureNotice failure={choose.failure} />
            <div className="row">
              <Button look="secondary" busy={choose.busy} onClick={() => void choose.run(!mail)}>
                {mail ? "Turn mails to me off" : "Turn mails to me on"}
              </Button>
            </div>
          </>
        )}
      </Show>
    </section>
  );
}
