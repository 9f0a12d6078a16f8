import { useState } from "react";
import { api, ok, type Schema } from "../../api/client";
import { useAction } from "../../api/useAction";
import { useLoad } from "../../api/useLoad";
import { Button, LinkButton } from "../../components/Button";
import { Confirm, Dialog, DialogButtons } from "../../components/Dialog";
import { Field, Select, textOf } from "../../components/Field";
import { Form } from "../../components/Form";
import { Moment } from "../../components/Moment";
import { FailureNotice, Loading, Notice } from "../../components/Notice";
import { count } from "../../components/numbers";
import { tell } from "../../components/Toasts";
import { Page } from "../../layout/Page";
import { Link, navigate } from "../../routing/router";
import { mayWrite, useTeams } from "../../session/teams";
import { Scopes } from "./KeysPage";
import { KeyShownOnce } from "./NewKeyDialog";

type Key = Schema["Key"];

/** One key: what it may do, how it is used, and its next secret or its end. */
export function KeyPage({ id }: { id: string }) {
  const { teams } = useTeams();
  const [asking, setAsking] = useState<"rotate" | "revoke" | "change">();
  const [rotated, setRotated] = useState<Schema["RotatedKey"]>();
  const params = { path: { key_id: id } };
  const loaded = useLoad(
    `key ${id}`,
    (signal) => ok(api.GET("/v1/api-keys/{key_id}", { params, signal })),
    30,
  );
  const key = loaded.data;
  if (!key) {
    return (
      <Page title={loaded.failure?.status === 404 ? "No such key" : "Key"}>
        {loaded.failure?.status === 404 ? (
          <div>
            <LinkButton to="/keys">All keys</LinkButton>
          </div>
        ) : (
          <FailureNotice failure={loaded.failure} retry={loaded.reload} />
        )}
        {loaded.loading && <Loading />}
      </Page>
    );
  }
  const team = teams.find((one) => one.id === key.teamId);
  const close = () => setAsking(undefined);
  return (
    <Page
      title={key.name}
      lead={key.description ?? <code>{key.prefix}…</code>}
      actions={
        team &&
        mayWrite(team) && (
          <>
            <Button look="secondary" onClick={() => setAsking("change")}>
              Change
            </Button>
            <Button look="secondary" onClick={() => setAsking("rotate")}>
              Rotate
            </Button>
            <Button look="danger" onClick={() => setAsking("revoke")}>
              Revoke
            </Button>
          </>
        )
      }
    >
      {key.leakedAt && (
        <Notice tone="bad">
          <strong>
            Somebody found this key in public <Moment at={key.leakedAt} />.
          </strong>
          Rotate it, and take it away from where it was.
        </Notice>
      )}
      <div className="columns">
        <section className="card" aria-label="Use">
          <div className="columns stats">
            <div className="stat">
              <span className="name">Requests</span>
              <span className="value">{count(key.requestCount)}</span>
            </div>
            <div className="stat">
              <span className="name">Last used</span>
              <span className="value">
                <Moment at={key.lastUsed} />
              </span>
            </div>
          </div>
          <p className="small">
            <Link to={`/analytics?keyId=${key.id}`}>What was called with it</Link>
          </p>
        </section>
        <section className="card" aria-label="What it may do">
          <dl className="facts">
            <dt>Begins with</dt>
            <dd className="mono">{key.prefix}</dd>
            <dt>May</dt>
            <dd>
              <Scopes scopes={key.scopes} />
            </dd>
            <dt>At most</dt>
            <dd>{count(key.requestsPerMinute)} requests a minute</dd>
            <dt>From</dt>
            <dd>{key.allowedCidrs.length > 0 ? key.allowedCidrs.join(", ") : "everywhere"}</dd>
            <dt>Made</dt>
            <dd>
              <Moment at={key.createdAt} />
            </dd>
            <dt>Expires</dt>
            <dd>
              <Moment at={key.expiresAt} />
            </dd>
            {key.previousUntil && (
              <>
                <dt>Old secret</dt>
                <dd>
                  ends <Moment at={key.previousUntil} />
                </dd>
              </>
            )}
          </dl>
        </section>
      </div>
      {asking === "change" && (
        <ChangeDialog
          shown={key}
          close={() => {
            close();
            loaded.reload();
          }}
        />
      )}
      {asking === "rotate" && (
        <RotateDialog
          shown={key}
          close={close}
          done={(answer) => {
            close();
            setRotated(answer);
            loaded.reload();
          }}
        />
      )}
      {rotated && (
        <KeyShownOnce
          name={rotated.name}
          secret={rotated.apiKey}
          close={() => setRotated(undefined)}
        />
      )}
      {asking === "revoke" && (
        <Confirm
          title={`Revoke ${key.name}?`}
          verb="Revoke"
          typed={key.name}
          close={close}
          act={async () => {
            tell((await ok(api.DELETE("/v1/api-keys/{key_id}", { params }))).message);
            navigate("/keys");
          }}
        >
          <p>Whatever uses it is refused within a second. This cannot be undone.</p>
        </Confirm>
      )}
    </Page>
  );
}

const GRACES: ReadonlyArray<[seconds: number, name: string]> = [
  [0, "No, it ends at once"],
  [3600, "For an hour"],
  [86_400, "For a day"],
  [604_800, "For a week"],
];

function RotateDialog({
  shown,
  close,
  done,
}: {
  shown: Key;
  close: () => void;
  done: (answer: Schema["RotatedKey"]) => void;
}) {
  const params = { path: { key_id: shown.id } };
  const rotate = useAction(async (form: FormData) => {
    const body = { graceSeconds: Number(textOf(form, "grace")) };
    done(await ok(api.POST("/v1/api-keys/{key_id}/rotate", { params, body })));
  });
  return (
    <Dialog title={`A new secret for ${shown.name}`} close={close}>
      <Form
        action={rotate}
        buttons={<DialogButtons verb="Rotate" busy={rotate.busy} close={close} />}
      >
        <Select label="Does the old one work on?" name="grace" defaultValue="86400">
          {GRACES.map(([seconds, name]) => (
            <option key={seconds} value={seconds}>
              {name}
            </option>
          ))}
        </Select>
      </Form>
    </Dialog>
  );
}

function ChangeDialog({ shown, close }: { shown: Key; close: () => void }) {
  const params = { path: { key_id: shown.id } };
  const change = useAction(async (form: FormData) => {
    const networks = textOf(form, "allowedCidrs")
      .split(/[\s,]+/)
      .filter(Boolean);
    const body: Schema["KeyChange"] = {
      name: textOf(form, "name").trim(),
      description: textOf(form, "description").trim() || null,
      requestsPerMinute: Number(textOf(form, "requestsPerMinute")),
      allowedCidrs: networks.length > 0 ? networks : null,
    };
    await ok(api.PATCH("/v1/api-keys/{key_id}", { params, body }));
    close();
  });
  return (
    <Dialog title={`Change ${shown.name}`} close={close}>
      <Form
        action={change}
        buttons={<DialogButtons verb="Save" busy={change.busy} close={close} />}
      >
        <Field
          label="Name"
          name="name"
          required
          maxLength={100}
          defaultValue={shown.name}
          failure={change.failure}
        />
        <Field
          label="Description"
          name="description"
          maxLength={500}
          defaultValue={shown.description ?? ""}
          failure={change.failure}
        />
        <Field
          label="Requests per minute"
          name="requestsPerMinute"
          type="number"
          min={1}
          required
          defaultValue={shown.requestsPerMinute}
          failure={change.failure}
        />
        <Field
          label="Only from these networks"
          name="allowedCidrs"
          placeholder="everywhere"
          defaultValue={shown.allowedCidrs.join(", ")}
          failure={change.failure}
        />
      </Form>
    </Dialog>
  );
}
