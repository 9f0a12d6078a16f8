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
import { tell } from "../../components/Toasts";
import { Page } from "../../layout/Page";
import { Link, navigate } from "../../routing/router";
import { Deliveries } from "./Deliveries";
import { EventTypePicker, eventTypesOf } from "./EventTypePicker";
import { SecretShownOnce } from "./NewWebhookDialog";
import { EventTypes, nameOf, State, type Webhook } from "./WebhooksPage";

type Question = "change" | "rotate" | "replay" | "delete";

/** One webhook: what it is told, what it answered, and everything there is to do about it. */
export function WebhookPage({ id }: { id: string }) {
  const [asking, setAsking] = useState<Question>();
  const [secret, setSecret] = useState<string>();
  const params = { path: { webhook_id: id } };
  const loaded = useLoad(
    `webhook ${id}`,
    (signal) => ok(api.GET("/v1/webhooks/{webhook_id}", { params, signal })),
    30,
  );
  const [round, setRound] = useState(0);
  const test = useAction(async () => {
    tell((await ok(api.POST("/v1/webhooks/{webhook_id}/test", { params }))).message);
    setRound((number) => number + 1);
  });
  const webhook = loaded.data;
  const enable = useAction(async () => {
    const body = { enabled: !webhook?.enabled };
    await ok(api.PATCH("/v1/webhooks/{webhook_id}", { params, body }));
    loaded.reload();
  });
  if (!webhook) {
    const gone = loaded.failure?.status === 404;
    return (
      <Page title={gone ? "No such webhook" : "Webhook"}>
        {gone ? (
          <div>
            <LinkButton to="/webhooks">All webhooks</LinkButton>
          </div>
        ) : (
          <FailureNotice failure={loaded.failure} retry={loaded.reload} />
        )}
        {loaded.loading && <Loading />}
      </Page>
    );
  }
  const close = () => {
    setAsking(undefined);
    loaded.reload();
  };
  return (
    <Page
      title={nameOf(webhook)}
      lead={<State webhook={webhook} />}
      actions={
        <>
          <Button look="secondary" busy={test.busy} onClick={() => void test.run()}>
            Send a test
          </Button>
          <Button look="secondary" onClick={() => setAsking("replay")} disabled={!webhook.enabled}>
            Replay
          </Button>
          <Button look="secondary" onClick={() => setAsking("change")}>
            Change
          </Button>
          <Button look="secondary" busy={enable.busy} onClick={() => void enable.run()}>
            {webhook.enabled ? "Disable" : "Enable"}
          </Button>
          <Button look="secondary" onClick={() => setAsking("rotate")}>
            Rotate the secret
          </Button>
          <Button look="danger" onClick={() => setAsking("delete")}>
            Delete
          </Button>
        </>
      }
    >
      <FailureNotice failure={test.failure ?? enable.failure} />
      {!webhook.enabled && webhook.disabledReason !== "asked" && (
        <Notice tone="bad">
          <strong>
            It was disabled <Moment at={webhook.disabledAt} />:{" "}
            {webhook.disabledReason === "gone"
              ? "its server said that it is gone."
              : "its server took nothing for days."}
          </strong>
          Once it is well again, send a test, enable it, and replay what it missed.
        </Notice>
      )}
      <section className="card" aria-label="What it is">
        <dl className="facts">
          <dt>URL</dt>
          <dd className="mono wrap">{webhook.url}</dd>
          <dt>Is told of</dt>
          <dd>
            <EventTypes types={webhook.eventTypes} />
          </dd>
          <dt>Made</dt>
          <dd>
            <Moment at={webhook.createdAt} />
          </dd>
          {webhook.previousSecretUntil && (
            <>
              <dt>Old secret</dt>
              <dd>
                signs along until <Moment at={webhook.previousSecretUntil} />
              </dd>
            </>
          )}
        </dl>
        <p className="small">
          <Link to={`/history/${webhook.id}`}>All that happened to it</Link>
        </p>
      </section>
      <Deliveries webhook={webhook} round={round} />
      {asking === "change" && <ChangeDialog webhook={webhook} close={close} />}
      {asking === "replay" && <ReplayDialog webhook={webhook} close={close} />}
      {asking === "rotate" && (
        <RotateDialog
          webhook={webhook}
          close={close}
          done={(answer) => {
            close();
            setSecret(answer.secret);
          }}
        />
      )}
      {secret && <SecretShownOnce secret={secret} close={() => setSecret(undefined)} />}
      {asking === "delete" && (
        <Confirm
          title={`Delete ${nameOf(webhook)}?`}
          verb="Delete"
          typed={nameOf(webhook)}
          close={() => setAsking(undefined)}
          act={async () => {
            tell((await ok(api.DELETE("/v1/webhooks/{webhook_id}", { params }))).message);
            navigate("/webhooks");
          }}
        >
          <p>What was still to be sent to it is not sent any more. This cannot be undone.</p>
        </Confirm>
      )}
    </Page>
  );
}

function ChangeDialog({ webhook, close }: { webhook: Webhook; close: () => void }) {
  const params = { path: { webhook_id: webhook.id } };
  const change = useAction(async (form: FormData) => {
    const body: Schema["WebhookChange"] = {
      url: textOf(form, "url").trim(),
      eventTypes: eventTypesOf(form),
      description: textOf(form, "description").trim() || null,
    };
    await ok(api.PATCH("/v1/webhooks/{webhook_id}", { params, body }));
    close();
  });
  return (
    <Dialog title={`Change ${nameOf(webhook)}`} close={close}>
      <Form
        action={change}
        buttons={<DialogButtons verb="Save" busy={change.busy} close={close} />}
      >
        <Field
          label="URL"
          name="url"
          required
          defaultValue={webhook.url}
          failure={change.failure}
        />
        <Field
          label="Description"
          name="description"
          maxLength={200}
          defaultValue={webhook.description ?? ""}
          failure={change.failure}
        />
        <EventTypePicker chosen={webhook.eventTypes} />
      </Form>
    </Dialog>
  );
}

const GRACES: ReadonlyArray<[seconds: number, name: string]> = [
  [0, "No, only the new one"],
  [3600, "For an hour"],
  [86_400, "For a day"],
  [604_800, "For a week"],
];

function RotateDialog({
  webhook,
  close,
  done,
}: {
  webhook: Webhook;
  close: () => void;
  done: (answer: Schema["RotatedWebhook"]) => void;
}) {
  const params = { path: { webhook_id: webhook.id } };
  const rotate = useAction(async (form: FormData) => {
    const body = { graceSeconds: Number(textOf(form, "grace")) };
    done(await ok(api.POST("/v1/webhooks/{webhook_id}/rotate-secret", { params, body })));
  });
  return (
    <Dialog title="A new secret" close={close}>
      <Form
        action={rotate}
        buttons={<DialogButtons verb="Rotate" busy={rotate.busy} close={close} />}
      >
        <Select label="Does the old one sign along?" name="grace" defaultValue="86400">
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

const SINCE: ReadonlyArray<[hours: number, name: string]> = [
  [1, "the last hour"],
  [24, "the last day"],
  [72, "the last three days"],
  [168, "the last week"],
  [720, "the last 30 days"],
];

function ReplayDialog({ webhook, close }: { webhook: Webhook; close: () => void }) {
  const params = { path: { webhook_id: webhook.id } };
  const replay = useAction(async (form: FormData) => {
    const hours = Number(textOf(form, "hours"));
    const body = {
      since: new Date(Date.now() - hours * 3_600_000).toISOString(),
      missedOnly: textOf(form, "which") === "missed",
    };
    tell((await ok(api.POST("/v1/webhooks/{webhook_id}/replay", { params, body }))).message);
    close();
  });
  return (
    <Dialog title="Send what happened again" close={close}>
      <Form
        action={replay}
        buttons={<DialogButtons verb="Replay" busy={replay.busy} close={close} />}
      >
        <p className="small">
          From the log: also what happened while it was disabled, or before it was made. What it was
          told before comes under the same id.
        </p>
        <Select label="Of" name="hours" defaultValue="72">
          {SINCE.map(([hours, name]) => (
            <option key={hours} value={hours}>
              {name}
            </option>
          ))}
        </Select>
        <Select label="Send" name="which" defaultValue="missed">
          <option value="missed">only what it has not taken</option>
          <option value="all">everything</option>
        </Select>
      </Form>
    </Dialog>
  );
}
