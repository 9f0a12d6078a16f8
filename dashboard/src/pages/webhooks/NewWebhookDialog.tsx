import { useState } from "react";
import { api, ok, type Schema } from "../../api/client";
import { useAction } from "../../api/useAction";
import { Button } from "../../components/Button";
import { Code } from "../../components/Copy";
import { Dialog, DialogButtons } from "../../components/Dialog";
import { Field, textOf } from "../../components/Field";
import { Form } from "../../components/Form";
import { Notice } from "../../components/Notice";
import { navigate } from "../../routing/router";
import { useTeams } from "../../session/teams";
import { EventTypePicker, eventTypesOf } from "./EventTypePicker";

/** Makes a webhook and shows its secret, this once. */
export function NewWebhookDialog({ close }: { close: () => void }) {
  const { team } = useTeams();
  const [made, setMade] = useState<Schema["CreatedWebhook"]>();
  const make = useAction(async (form: FormData) => {
    const body: Schema["NewWebhook"] = {
      teamId: team.id,
      url: textOf(form, "url").trim(),
      eventTypes: eventTypesOf(form),
      description: textOf(form, "description").trim() || undefined,
    };
    setMade(await ok(api.POST("/v1/webhooks", { body })));
  });
  if (made) {
    return <SecretShownOnce secret={made.secret} close={() => navigate(`/webhooks/${made.id}`)} />;
  }
  return (
    <Dialog title="New webhook" close={close}>
      <Form
        action={make}
        buttons={<DialogButtons verb="Make the webhook" busy={make.busy} close={close} />}
      >
        <Field
          label="URL"
          name="url"
          required
          autoFocus
          placeholder="https://hooks.example.com/tallyport"
          hint="On the public internet, with https. Only your team sees it."
          failure={make.failure}
        />
        <Field
          label="Description"
          name="description"
          maxLength={200}
          hint="What it is for: “the pager”."
          failure={make.failure}
        />
        <EventTypePicker chosen={["*"]} />
      </Form>
    </Dialog>
  );
}

/** The only sight of a secret. */
export function SecretShownOnce({ secret, close }: { secret: string; close: () => void }) {
  return (
    <Dialog title="The webhook’s secret" close={close} insists>
      <div className="stack">
        <Notice tone="warn">
          Copy it now: it is not shown again. With it your server knows that a message is from here.
        </Notice>
        <Code text={secret} label="the secret" />
        <p className="small">
          Every library for <a href="https://www.standardwebhooks.com">Standard Webhooks</a> takes
          it as it is. <a href="/help/webhooks">How to check a message</a>
        </p>
        <div className="row end">
          <Button onClick={close}>I have copied it</Button>
        </div>
      </div>
    </Dialog>
  );
}
