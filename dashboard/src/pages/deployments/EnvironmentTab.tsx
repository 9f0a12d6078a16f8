import { useState } from "react";
import { api, ok } from "../../api/client";
import { Failure } from "../../api/failure";
import { useAction } from "../../api/useAction";
import { Button } from "../../components/Button";
import { Confirm, DialogButtons } from "../../components/Dialog";
import { Area, textOf } from "../../components/Field";
import { Form } from "../../components/Form";
import { Empty } from "../../components/Notice";
import { Table, type Column } from "../../components/Table";
import { tell } from "../../components/Toasts";
import { mayWrite, useTeams } from "../../session/teams";
import { variablesOf } from "./deployment";
import type { TabProps } from "./DeploymentPage";
import { VariableDialog } from "./VariableDialog";

/** The variables: their names, and the ways to set one of them or all anew. */
export function EnvironmentTab({ deployment, changed }: TabProps) {
  const { teams } = useTeams();
  const [editing, setEditing] = useState(false);
  const [setting, setSetting] = useState<{ name?: string }>();
  const [removing, setRemoving] = useState<string>();
  const team = teams.find((one) => one.id === deployment.teamId);
  const writes = team !== undefined && mayWrite(team);
  const names = Object.keys(deployment.envVars).sort();
  const params = { path: { deployment_id: deployment.id } };
  const save = useAction(async (form: FormData) => {
    let envVars: Record<string, string>;
    try {
      envVars = variablesOf(textOf(form, "environment"));
    } catch (error) {
      throw new Failure(0, "invalid_environment", (error as Error).message);
    }
    const answer = await ok(
      api.PUT("/v1/deployments/{deployment_id}", { params, body: { envVars } }),
    );
    tell(answer.message);
    setEditing(false);
    changed();
  });
  if (editing) {
    return (
      <section className="card" aria-label="Environment">
        <h2>Set all variables</h2>
        <Form
          action={save}
          buttons={
            <DialogButtons
              verb="Save and restart"
              busy={save.busy}
              close={() => setEditing(false)}
            />
          }
        >
          <Area
            label="Variables"
            name="environment"
            rows={Math.max(6, names.length + 2)}
            spellCheck={false}
            autoFocus
            className="mono"
            defaultValue={names.map((name) => `${name}=`).join("\n")}
            hint="One NAME=value per line. They take the place of all there were: values are sealed, so the present ones cannot be shown and have to be typed again."
            failure={save.failure}
            field="envVars"
          />
        </Form>
      </section>
    );
  }
  const actions: Column<string> = {
    name: "Actions",
    actions: true,
    cell: (name) => (
      <span className="row">
        <Button
          look="secondary"
          small
          aria-label={`Change ${name}`}
          onClick={() => setSetting({ name })}
        >
          Change
        </Button>
        <Button
          look="secondary"
          small
          aria-label={`Remove ${name}`}
          onClick={() => setRemoving(name)}
        >
          Remove
        </Button>
      </span>
    ),
  };
  return (
    <section className="card flush" aria-label="Environment">
      {names.length > 0 ? (
        <Table
          caption="Variables"
          columns={[
            { name: "Name", cell: (name) => <code className="wrap">{name}</code> },
            { name: "Value", cell: () => <span className="soft">sealed, never shown</span> },
            ...(writes ? [actions] : []),
          ]}
          rows={names}
          keyOf={(name) => name}
        />
      ) : (
        <Empty title="No variables">
          <p>
            What the program should know and the image does not say: addresses, passwords, levels.
            They are sealed, and given to the replicas only.
          </p>
        </Empty>
      )}
      <div className="pager">
        <span className="soft small">A change makes a new revision.</span>
        {writes && (
          <span className="row">
            <Button look="secondary" small onClick={() => setSetting({})}>
              Add a variable
            </Button>
            <Button look="secondary" small onClick={() => setEditing(true)}>
              {names.length > 0 ? "Set all variables" : "Set variables"}
            </Button>
          </span>
        )}
      </div>
      {setting && (
        <VariableDialog
          deploymentId={deployment.id}
          name={setting.name}
          close={() => setSetting(undefined)}
          done={() => {
            setSetting(undefined);
            changed();
          }}
        />
      )}
      {removing && (
        <Confirm
          title={`Remove ${removing}?`}
          verb="Remove"
          close={() => setRemoving(undefined)}
          act={async () => {
            const body = { envVarChanges: { [removing]: null } };
            tell((await ok(api.PUT("/v1/deployments/{deployment_id}", { params, body }))).message);
            changed();
          }}
        >
          <p>The program runs without it from its next revision on. The others stay.</p>
        </Confirm>
      )}
    </section>
  );
}
