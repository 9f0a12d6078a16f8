import { useState } from "react";
import { api, ok } from "../../api/client";
import { useAction } from "../../api/useAction";
import { useLoad } from "../../api/useLoad";
import { Button, LinkButton } from "../../components/Button";
import { Confirm } from "../../components/Dialog";
import { Field, textOf } from "../../components/Field";
import { Form } from "../../components/Form";
import { FailureNotice, Loading } from "../../components/Notice";
import { tell } from "../../components/Toasts";
import { Page } from "../../layout/Page";
import { navigate } from "../../routing/router";
import { mayManage, useTeams, type Team } from "../../session/teams";
import { Invitations } from "./Invitations";
import { Members } from "./Members";
import { Quota } from "./Quota";

/** One team: who is in it, who is asked to join, its name and its end. */
export function TeamPage({ id }: { id: string }) {
  const loaded = useLoad(`team ${id}`, (signal) =>
    ok(api.GET("/v1/teams/{team_id}", { params: { path: { team_id: id } }, signal })),
  );
  const team = loaded.data;
  if (!team) {
    const missing = loaded.failure?.status === 404;
    return (
      <Page title={missing ? "No such team" : "Team"}>
        {missing ? (
          <div>
            <LinkButton to="/teams">Your teams</LinkButton>
          </div>
        ) : (
          <FailureNotice failure={loaded.failure} retry={loaded.reload} />
        )}
        {loaded.loading && <Loading />}
      </Page>
    );
  }
  return (
    <Page
      title={team.name}
      lead={
        team.personal
          ? "Yours alone: nobody can be invited into it."
          : `You are ${team.role ?? "not a member"}.`
      }
    >
      <Quota teamId={team.id} />
      <Members team={team} />
      {!team.personal && mayManage(team) && (
        <>
          <Invitations team={team} />
          <Rename team={team} changed={loaded.reload} />
        </>
      )}
      {!team.personal && team.role === "owner" && <Delete team={team} />}
    </Page>
  );
}

function Rename({ team, changed }: { team: Team; changed: () => void }) {
  const { reload } = useTeams();
  const rename = useAction(async (form: FormData) => {
    const params = { path: { team_id: team.id } };
    const body = { name: textOf(form, "name").trim() };
    await ok(api.PATCH("/v1/teams/{team_id}", { params, body }));
    tell("Renamed.");
    changed();
    reload();
  });
  return (
    <section className="card narrow" aria-label="Name">
      <h2>Name</h2>
      <Form
        action={rename}
        buttons={
          <Button type="submit" look="secondary" busy={rename.busy}>
            Rename
          </Button>
        }
      >
        <Field
          label="Name"
          name="name"
          required
          maxLength={80}
          defaultValue={team.name}
          failure={rename.failure}
        />
      </Form>
    </section>
  );
}

function Delete({ team }: { team: Team }) {
  const { reload } = useTeams();
  const [asking, setAsking] = useState(false);
  return (
    <section className="card narrow" aria-label="Delete">
      <h2>Delete</h2>
      <p className="soft">Only a team without deployments can be deleted. Its history stays.</p>
      <div>
        <Button look="danger" onClick={() => setAsking(true)}>
          Delete this team
        </Button>
      </div>
      {asking && (
        <Confirm
          title={`Delete ${team.name}?`}
          verb="Delete"
          typed={team.name}
          close={() => setAsking(false)}
          act={async () => {
            const params = { path: { team_id: team.id } };
            tell((await ok(api.DELETE("/v1/teams/{team_id}", { params }))).message);
            reload();
            navigate("/teams");
          }}
        >
          <p>Its keys end, and nobody is a member of it any more. This cannot be undone.</p>
        </Confirm>
      )}
    </section>
  );
}
