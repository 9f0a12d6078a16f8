import { api, ok } from "../../api/client";
import { Failure, failureOf } from "../../api/failure";
import { send } from "../../api/client";
import { useAction } from "../../api/useAction";
import { useLoad } from "../../api/useLoad";
import { Button, LinkButton } from "../../components/Button";
import { Field, Select, textOf } from "../../components/Field";
import { Form } from "../../components/Form";
import { Moment } from "../../components/Moment";
import { FailureNotice, Notice } from "../../components/Notice";
import { Show } from "../../components/Show";
import { tell } from "../../components/Toasts";
import { mayWrite, useTeams } from "../../session/teams";
import type { Schema } from "../../api/client";
import type { TabProps } from "./DeploymentPage";

type Portal = Schema["PortalOut"];

/** Where people read how it is called: who sees it, and what it shows. */
export function PortalTab({ deployment, news }: TabProps) {
  const { teams } = useTeams();
  const team = teams.find((one) => one.id === deployment.teamId);
  const params = { path: { deployment_id: deployment.id } };
  const portal = useLoad(
    `portal setting ${deployment.id} ${news}`,
    (signal) => ok(api.GET("/v1/deployments/{deployment_id}/portal", { params, signal })),
    5,
  );
  return (
    <Show of={portal}>
      {(found) => (
        <div className="stack wide narrow">
          <Standing portal={found} appName={deployment.appName} />
          {team && mayWrite(team) && (
            <>
              <Visibility portal={found} changed={portal.reload} />
              <Document portal={found} changed={portal.reload} />
            </>
          )}
        </div>
      )}
    </Show>
  );
}

function Standing({ portal, appName }: { portal: Portal; appName: string }) {
  const { document, fetchFrom, fetchFailure } = portal;
  return (
    <section className="card" aria-label="Portal">
      {document ? (
        <dl className="facts">
          <dt>Shows</dt>
          <dd>
            {document.title}, version {document.version}
          </dd>
          <dt>Operations</dt>
          <dd>{document.operations}</dd>
          <dt>Published</dt>
          <dd>
            <Moment at={document.publishedAt} />
          </dd>
          {fetchFrom && (
            <>
              <dt>Fetched from</dt>
              <dd className="mono">{fetchFrom}</dd>
            </>
          )}
        </dl>
      ) : (
        <p>
          {fetchFrom
            ? `Its OpenAPI document is being fetched from ${fetchFrom}.`
            : "With an OpenAPI document, people can read how this is called and try it out."}
        </p>
      )}
      {fetchFailure && <Notice tone="warn">The newest revision was asked: {fetchFailure}</Notice>}
      {portal.visibility !== "off" && (
        <div className="row">
          <LinkButton to={`/portal/${appName}`} look="secondary">
            Open the portal
          </LinkButton>
          <code className="wrap">{portal.url}</code>
        </div>
      )}
    </section>
  );
}

function Visibility({ portal, changed }: { portal: Portal; changed: () => void }) {
  const params = { path: { deployment_id: portal.deploymentId } };
  const show = useAction(async (form: FormData) => {
    const visibility = textOf(form, "visibility") as Portal["visibility"];
    const body = { visibility };
    const done = await ok(api.PUT("/v1/deployments/{deployment_id}/portal", { params, body }));
    tell(done.message);
    changed();
  });
  return (
    <section className="card" aria-label="Who sees it">
      <h2>Who sees it</h2>
      <Form
        key={portal.visibility}
        action={show}
        buttons={
          <Button type="submit" busy={show.busy}>
            Save
          </Button>
        }
      >
        <Select
          label="The portal is for"
          name="visibility"
          defaultValue={portal.visibility}
          hint="Everybody may read a public one, without signing in. To call the API they still need a key, unless anybody may call it."
        >
          <option value="off">nobody</option>
          <option value="team">the team</option>
          <option value="public">everybody</option>
        </Select>
      </Form>
    </section>
  );
}

function Document({ portal, changed }: { portal: Portal; changed: () => void }) {
  const params = { path: { deployment_id: portal.deploymentId } };
  const upload = useAction(async (form: FormData) => {
    const file = form.get("file");
    if (!(file instanceof File) || file.size === 0) {
      throw new Failure(422, "invalid_value", "Choose a file first.");
    }
    const type = file.name.endsWith(".json") ? "application/json" : "application/yaml";
    const address = new URL(`/v1/deployments/${portal.deploymentId}/openapi`, window.location.href);
    const answer = await send(
      new Request(address, {
        method: "PUT",
        headers: { "Content-Type": type },
        body: await file.arrayBuffer(),
      }),
    );
    const said = (await answer.json()) as { message: string };
    if (!answer.ok) throw failureOf(answer.status, said);
    tell(said.message);
    changed();
  });
  const fetching = useAction(async (form: FormData) => {
    const body = { fetchFrom: textOf(form, "fetchFrom").trim() };
    const done = await ok(api.PUT("/v1/deployments/{deployment_id}/openapi", { params, body }));
    tell(done.message);
    changed();
  });
  const withdraw = useAction(async () => {
    const done = await ok(api.DELETE("/v1/deployments/{deployment_id}/openapi", { params }));
    tell(done.message);
    changed();
  });
  return (
    <section className="card" aria-label="Document">
      <h2>The document</h2>
      <Form
        action={upload}
        buttons={
          <Button type="submit" busy={upload.busy}>
            Publish the file
          </Button>
        }
      >
        <Field
          label="OpenAPI 3.0 or 3.1, as JSON or YAML"
          name="file"
          type="file"
          accept=".json,.yaml,.yml"
        />
      </Form>
      <Form
        key={portal.fetchFrom ?? ""}
        action={fetching}
        buttons={
          <Button type="submit" look="secondary" busy={fetching.busy}>
            Fetch it from there
          </Button>
        }
      >
        <Field
          label="Or its path in the API itself"
          name="fetchFrom"
          required
          spellCheck={false}
          defaultValue={portal.fetchFrom ?? "/openapi.json"}
          hint="The API is asked again for each revision that goes live."
          failure={fetching.failure}
        />
      </Form>
      {(portal.document || portal.fetchFrom) && (
        <div>
          <Button look="danger" busy={withdraw.busy} onClick={() => void withdraw.run()}>
            Withdraw the document
          </Button>
          <FailureNotice failure={withdraw.failure} />
        </div>
      )}
    </section>
  );
}
