import { useState } from "react";
import { api, ok } from "../../api/client";
import { useAction } from "../../api/useAction";
import { Button } from "../../components/Button";
import { Confirm } from "../../components/Dialog";
import { Check, Field, Select, textOf } from "../../components/Field";
import { Form } from "../../components/Form";
import { Notice } from "../../components/Notice";
import { tell } from "../../components/Toasts";
import { navigate } from "../../routing/router";
import { mayWrite, useTeams } from "../../session/teams";
import type { TabProps } from "./DeploymentPage";

/** What it runs and how; whose it is; its end. */
export function SettingsTab(props: TabProps) {
  const { teams } = useTeams();
  const team = teams.find((one) => one.id === props.deployment.teamId);
  if (!team || !mayWrite(team)) {
    return <Notice>You may look at this deployment, but not change it.</Notice>;
  }
  return (
    <div className="stack wide narrow">
      <Update {...props} />
      <Transfer {...props} />
      <Delete {...props} />
    </div>
  );
}

function Update({ deployment, changed }: TabProps) {
  const params = { path: { deployment_id: deployment.id } };
  const check = deployment.healthCheck;
  const update = useAction(async (form: FormData) => {
    const path = textOf(form, "healthPath").trim();
    const body = {
      image: textOf(form, "image").trim(),
      port: Number(textOf(form, "port")),
      resources: {
        cpu: textOf(form, "cpu").trim(),
        memory: textOf(form, "memory").trim(),
        storage: textOf(form, "storage").trim(),
        pids: Number(textOf(form, "pids")),
      },
      ...(path !== (check?.path ?? "") && { healthCheck: path ? { path } : null }),
      visibility: form.get("public") === "on" ? ("public" as const) : ("private" as const),
    };
    const answer = await ok(api.PUT("/v1/deployments/{deployment_id}", { params, body }));
    tell(answer.message);
    changed();
  });
  return (
    <section className="card" aria-label="Update">
      <h2>Update</h2>
      <p className="soft">
        A new revision starts beside the present one and takes over when it is healthy. One that
        does not get there changes nothing.
      </p>
      <Form
        key={deployment.revision}
        action={update}
        buttons={
          <Button type="submit" busy={update.busy}>
            Update
          </Button>
        }
      >
        <Field
          label="Image"
          name="image"
          required
          defaultValue={deployment.image}
          spellCheck={false}
          failure={update.failure}
        />
        <div className="fields">
          <Field
            label="Port"
            name="port"
            type="number"
            min={1}
            max={65535}
            required
            defaultValue={deployment.port}
            failure={update.failure}
          />
          <Field
            label="Health path"
            name="healthPath"
            defaultValue={check?.path ?? ""}
            failure={update.failure}
            field="healthCheck.path"
          />
          <Field
            label="Processor"
            name="cpu"
            required
            defaultValue={deployment.resources.cpu}
            failure={update.failure}
            field="resources.cpu"
          />
          <Field
            label="Memory"
            name="memory"
            required
            defaultValue={deployment.resources.memory}
            failure={update.failure}
            field="resources.memory"
          />
          <Field
            label="Room for files"
            name="storage"
            required
            defaultValue={deployment.resources.storage}
            hint="In memory: at most half of it."
            failure={update.failure}
            field="resources.storage"
          />
          <Field
            label="Processes and threads"
            name="pids"
            type="number"
            min={16}
            max={4096}
            required
            defaultValue={deployment.resources.pids}
            failure={update.failure}
            field="resources.pids"
          />
        </div>
        <Check
          name="public"
          label="Anybody may call it"
          hint="Without this every call needs a key."
          defaultChecked={deployment.visibility === "public"}
        />
      </Form>
    </section>
  );
}

function Transfer({ deployment, changed }: TabProps) {
  const { teams } = useTeams();
  const others = teams.filter((one) => one.id !== deployment.teamId && mayWrite(one));
  const [to, setTo] = useState<string>();
  const params = { path: { deployment_id: deployment.id } };
  if (others.length === 0) return null;
  const chosen = others.find((one) => one.id === to);
  return (
    <section className="card" aria-label="Another team">
      <h2>Give it to another team</h2>
      <form
        className="row call"
        onSubmit={(event) => {
          event.preventDefault();
          setTo(textOf(new FormData(event.currentTarget), "team"));
        }}
      >
        <Select label="Team" name="team">
          {others.map((one) => (
            <option key={one.id} value={one.id}>
              {one.name}
            </option>
          ))}
        </Select>
        <Button type="submit" look="secondary">
          Give
        </Button>
      </form>
      {chosen && (
        <Confirm
          title={`Give ${deployment.appName} to ${chosen.name}?`}
          verb="Give"
          typed={deployment.appName}
          close={() => setTo(undefined)}
          act={async () => {
            const body = { teamId: chosen.id };
            await ok(api.POST("/v1/deployments/{deployment_id}/transfer", { params, body }));
            tell(`${deployment.appName} belongs to ${chosen.name}.`);
            changed();
          }}
        >
          <p>From then on only keys of that team work for it, and only its members see it.</p>
        </Confirm>
      )}
    </section>
  );
}

function Delete({ deployment }: TabProps) {
  const [asking, setAsking] = useState(false);
  const params = { path: { deployment_id: deployment.id } };
  return (
    <section className="card" aria-label="Delete">
      <h2>Delete</h2>
      <p className="soft">Its replicas, its URL and its logs end. Its history stays.</p>
      <div>
        <Button look="danger" onClick={() => setAsking(true)}>
          Delete this deployment
        </Button>
      </div>
      {asking && (
        <Confirm
          title={`Delete ${deployment.appName}?`}
          verb="Delete"
          typed={deployment.appName}
          close={() => setAsking(false)}
          act={async () => {
            const answer = await ok(api.DELETE("/v1/deployments/{deployment_id}", { params }));
            tell(answer.message);
            navigate("/deployments");
          }}
        >
          <p>
            Everybody who calls <strong>{deployment.url}</strong> gets 404 from then on. This cannot
            be undone.
          </p>
        </Confirm>
      )}
    </section>
  );
}
