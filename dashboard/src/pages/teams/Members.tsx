import { useState } from "react";
import { api, ok, type Schema } from "../../api/client";
import { useAction } from "../../api/useAction";
import { useLoad } from "../../api/useLoad";
import { Tag } from "../../components/Badge";
import { Button } from "../../components/Button";
import { Confirm } from "../../components/Dialog";
import { Moment } from "../../components/Moment";
import { FailureNotice } from "../../components/Notice";
import { Paged, usePageNumber } from "../../components/Paged";
import { Table, type Column } from "../../components/Table";
import { tell } from "../../components/Toasts";
import { navigate } from "../../routing/router";
import { useSession } from "../../session/session";
import { mayManage, useTeams, type Team } from "../../session/teams";

type Member = Schema["Member"];
type Role = Schema["Role"];

export const ROLES: readonly Role[] = ["owner", "admin", "developer", "viewer"];

/** Who belongs to a team, and as what. */
export function Members({ team }: { team: Team }) {
  const session = useSession();
  const { reload: reloadTeams } = useTeams();
  const page = usePageNumber();
  const [leaving, setLeaving] = useState<Member>();
  const path = { team_id: team.id };
  const list = useLoad(`members ${team.id} ${page}`, (signal) =>
    ok(
      api.GET("/v1/teams/{team_id}/members", {
        params: { path, query: { page, limit: 50 } },
        signal,
      }),
    ),
  );
  const appoint = useAction(async (member: Member, role: Role) => {
    const params = { path: { ...path, user_id: member.userId } };
    await ok(api.PATCH("/v1/teams/{team_id}/members/{user_id}", { params, body: { role } }));
    tell(`${member.username ?? member.userId} is ${role} now.`);
    list.reload();
    reloadTeams();
  });
  const me = session.status === "in" ? session.user.id : "";
  const columns: ReadonlyArray<Column<Member>> = [
    {
      name: "Member",
      cell: (member) => (
        <span className="main wrap">
          {member.username ?? "erased"}
          {member.userId === me && <span className="soft"> (you)</span>}
        </span>
      ),
    },
    {
      name: "Role",
      cell: (member) =>
        mayManage(team) && !team.personal ? (
          <select
            className="fit"
            aria-label={`Role of ${member.username ?? member.userId}`}
            value={member.role}
            disabled={appoint.busy}
            onChange={(event) => void appoint.run(member, event.target.value as Role)}
          >
            {ROLES.map((role) => (
              <option key={role}>{role}</option>
            ))}
          </select>
        ) : (
          <Tag>{member.role}</Tag>
        ),
    },
    { name: "Since", cell: (member) => <Moment at={member.since} /> },
    {
      name: "Actions",
      actions: true,
      cell: (member) =>
        !team.personal &&
        (mayManage(team) || member.userId === me) && (
          <Button look="secondary" small onClick={() => setLeaving(member)}>
            {member.userId === me ? "Leave" : "Remove"}
          </Button>
        ),
    },
  ];
  return (
    <section className="card flush" aria-label="Members">
      <FailureNotice failure={appoint.failure} />
      <Paged of={list} rows={(data) => data.members} empty={null}>
        {(members) => (
          <Table
            caption="Members"
            columns={columns}
            rows={members}
            keyOf={(member) => member.userId}
          />
        )}
      </Paged>
      {leaving && (
        <Confirm
          title={
            leaving.userId === me
              ? `Leave ${team.name}?`
              : `Remove ${leaving.username ?? "this member"}?`
          }
          verb={leaving.userId === me ? "Leave" : "Remove"}
          close={() => setLeaving(undefined)}
          act={async () => {
            const params = { path: { ...path, user_id: leaving.userId } };
            await ok(api.DELETE("/v1/teams/{team_id}/members/{user_id}", { params }));
            reloadTeams();
            if (leaving.userId === me) navigate("/teams");
            else list.reload();
          }}
        >
          <p>
            The way into the team is closed within a second. What was made in it stays, but for keys
            that do more than call deployments: they are revoked.
          </p>
        </Confirm>
      )}
    </section>
  );
}
