import { api, ok, type Schema } from "../../api/client";
import { useAction } from "../../api/useAction";
import { useLoad } from "../../api/useLoad";
import { Tag } from "../../components/Badge";
import { Button } from "../../components/Button";
import { Field, Select, textOf } from "../../components/Field";
import { Form } from "../../components/Form";
import { Moment } from "../../components/Moment";
import { FailureNotice } from "../../components/Notice";
import { Show } from "../../components/Show";
import { Table } from "../../components/Table";
import { tell } from "../../components/Toasts";
import type { Team } from "../../session/teams";
import { ROLES } from "./Members";

/** Who is asked to join, and the way to ask. */
export function Invitations({ team }: { team: Team }) {
  const path = { team_id: team.id };
  const list = useLoad(`invitations ${team.id}`, (signal) =>
    ok(
      api.GET("/v1/teams/{team_id}/invitations", {
        params: { path, query: { limit: 100 } },
        signal,
      }),
    ),
  );
  const invite = useAction(async (form: FormData) => {
    const body: Schema["NewInvitation"] = {
      email: textOf(form, "email").trim(),
      role: textOf(form, "role") as Schema["Role"],
    };
    await ok(api.POST("/v1/teams/{team_id}/invitations", { params: { path }, body }));
    tell(`A mail is on its way to ${body.email}.`);
    list.reload();
  });
  const revoke = useAction(async (invitation: Schema["Invitation"]) => {
    const params = { path: { ...path, invitation_id: invitation.id } };
    await ok(api.DELETE("/v1/teams/{team_id}/invitations/{invitation_id}", { params }));
    list.reload();
  });
  return (
    <section className="card" aria-label="Invitations">
      <h2>Invite somebody</h2>
      <Form
        action={invite}
        emptied
        buttons={
          <Button type="submit" busy={invite.busy}>
            Send the invitation
          </Button>
        }
      >
        <div className="fields">
          <Field label="E-mail" name="email" type="email" required failure={invite.failure} />
          <Select label="As" name="role" defaultValue="developer">
            {ROLES.map((role) => (
              <option key={role}>{role}</option>
            ))}
          </Select>
        </div>
      </Form>
      <FailureNotice failure={revoke.failure} />
      <Show of={list}>
        {({ invitations }) =>
          invitations.length > 0 && (
            <Table
              caption="Open invitations"
              columns={[
                {
                  name: "Invited",
                  cell: (one) => <span className="wrap">{one.email ?? "erased"}</span>,
                },
                { name: "As", cell: (one) => <Tag>{one.role}</Tag> },
                {
                  name: "Until",
                  cell: (one) =>
                    one.expired ? <Tag tone="warn">over</Tag> : <Moment at={one.expiresAt} />,
                },
                {
                  name: "Actions",
                  actions: true,
                  cell: (one) => (
                    <Button
                      look="secondary"
                      small
                      busy={revoke.busy}
                      onClick={() => void revoke.run(one)}
                    >
                      Take back
                    </Button>
                  ),
                },
              ]}
              rows={invitations}
              keyOf={(one) => one.id}
            />
          )
        }
      </Show>
    </section>
  );
}
