import { api, ok, type Schema } from "../../api/client";
import { useAction } from "../../api/useAction";
import { Confirm, Dialog, DialogButtons } from "../../components/Dialog";
import { Field, textOf } from "../../components/Field";
import { Form } from "../../components/Form";
import { tell } from "../../components/Toasts";
import { navigate } from "../../routing/router";
import { actAs } from "../../session/session";

type Somebody = Schema["PersonShown"];

/** Sends somebody the link by which a password is replaced. */
export function ResetDialog({ person, close }: { person: Somebody; close: () => void }) {
  return (
    <Confirm
      title={`Send ${person.username} a link?`}
      verb="Send the link"
      close={close}
      act={async () => {
        const params = { path: { user_id: person.id } };
        tell((await ok(api.POST("/v1/admin/users/{user_id}/password-reset", { params }))).message);
      }}
    >
      <p>
        It goes to {person.email} and lasts half an hour. The password stays as it is until the link
        is followed; then all their sessions end.
      </p>
    </Confirm>
  );
}

/** Lets an admin see what somebody sees. */
export function ActAsDialog({ person, close }: { person: Somebody; close: () => void }) {
  const begin = useAction(async (form: FormData) => {
    const params = { path: { user_id: person.id } };
    const body = { reason: textOf(form, "reason").trim() };
    const begun = await ok(api.POST("/v1/admin/users/{user_id}/impersonation", { params, body }));
    close();
    actAs(begun);
    navigate("/");
  });
  return (
    <Dialog title={`Act as ${person.username}?`} close={close}>
      <p className="soft">
        For at most 15 minutes you see what they see. Everything you do has your name in their audit
        list. Credentials, people and teams cannot be changed, and nothing can be deleted.
      </p>
      <Form
        action={begin}
        buttons={
          <DialogButtons verb={`Act as ${person.username}`} busy={begin.busy} close={close} />
        }
      >
        <Field
          label="Reason"
          name="reason"
          required
          autoFocus
          maxLength={200}
          hint="They can read it."
          failure={begin.failure}
        />
      </Form>
    </Dialog>
  );
}
