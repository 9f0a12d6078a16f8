import { useState } from "react";
import { api, ok } from "../../api/client";
import { useAction } from "../../api/useAction";
import { Tag } from "../../components/Badge";
import { Button } from "../../components/Button";
import { Dialog, DialogButtons } from "../../components/Dialog";
import { Field, textOf } from "../../components/Field";
import { Form } from "../../components/Form";
import { Moment } from "../../components/Moment";
import { Table } from "../../components/Table";
import { Page } from "../../layout/Page";
import { Link, navigate } from "../../routing/router";
import { useTeams } from "../../session/teams";

/** The teams one is in. */
export function TeamsPage() {
  const { teams } = useTeams();
  const [founding, setFounding] = useState(false);
  return (
    <Page
      title="Teams"
      lead="Deployments and keys belong to a team; its members work on them by their role."
      actions={<Button onClick={() => setFounding(true)}>New team</Button>}
    >
      <div className="card flush">
        <Table
          caption="Teams"
          columns={[
            {
              name: "Team",
              cell: (team) => (
                <Link to={`/teams/${team.id}`} className="main wrap">
                  {team.name}
                </Link>
              ),
            },
            { name: "You are", cell: (team) => <Tag>{team.role ?? "not a member"}</Tag> },
            { name: "Since", cell: (team) => <Moment at={team.createdAt} /> },
          ]}
          rows={teams}
          keyOf={(team) => team.id}
        />
      </div>
      {founding && <NewTeamDialog close={() => setFounding(false)} />}
    </Page>
  );
}

function NewTeamDialog({ close }: { close: () => void }) {
  const { choose, reload } = useTeams();
  const found = useAction(async (form: FormData) => {
    const body = { name: textOf(form, "name").trim() };
    const team = await ok(api.POST("/v1/teams", { body }));
    choose(team.id);
    reload();
    close();
    navigate(`/teams/${team.id}`);
  });
  return (
    <Dialog title="New team" close={close}>
      <Form
        action={found}
        buttons={<DialogButtons verb="Found it" busy={found.busy} close={close} />}
      >
        <Field
          label="Name"
          name="name"
          required
          autoFocus
          maxLength={80}
          hint="You are its owner. Others come by invitation."
          failure={found.failure}
        />
      </Form>
    </Dialog>
  );
}
