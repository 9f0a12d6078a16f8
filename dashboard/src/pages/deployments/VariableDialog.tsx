import { api, ok } from "../../api/client";
import { useAction } from "../../api/useAction";
import { Dialog, DialogButtons } from "../../components/Dialog";
import { Area, Field, textOf } from "../../components/Field";
import { Form } from "../../components/Form";
import { tell } from "../../components/Toasts";

/** Sets one variable, a new one unless it is named; all others stay. */
export function VariableDialog({
  deploymentId,
  name,
  close,
  done,
}: {
  deploymentId: string;
  name?: string;
  close: () => void;
  done: () => void;
}) {
  const save = useAction(async (form: FormData) => {
    const params = { path: { deployment_id: deploymentId } };
    const envVarChanges = { [name ?? textOf(form, "name").trim()]: textOf(form, "value") };
    tell(
      (await ok(api.PUT("/v1/deployments/{deployment_id}", { params, body: { envVarChanges } })))
        .message,
    );
    done();
  });
  return (
    <Dialog title={name ? `Change ${name}` : "Add a variable"} close={close}>
      <Form
        action={save}
        buttons={<DialogButtons verb="Save and restart" busy={save.busy} close={close} />}
      >
        {name === undefined && (
          <Field
            label="Name"
            name="name"
            required
            autoFocus
            pattern="[A-Za-z_][A-Za-z0-9_]*"
            title="Letters, digits and _, no digit first"
            spellCheck={false}
            autoCapitalize="none"
            className="mono"
          />
        )}
        <Area
          label="Value"
          name="value"
          rows={2}
          autoFocus={name !== undefined}
          spellCheck={false}
          autoCapitalize="none"
          className="mono"
          hint="It is sealed, and never shown again. The other variables stay as they are."
        />
      </Form>
    </Dialog>
  );
}
