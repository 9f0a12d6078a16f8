import { api, ok } from "../../api/client";
import { Failure } from "../../api/failure";
import { useAction } from "../../api/useAction";
import { Button } from "../../components/Button";
import { Field, textOf } from "../../components/Field";
import { Form } from "../../components/Form";
import { tell } from "../../components/Toasts";
import { Passkeys } from "./Passkeys";
import { SecondFactor } from "./SecondFactor";

export function SecurityTab() {
  return (
    <div className="stack wide narrow">
      <SecondFactor />
      <Passkeys />
      <Password />
    </div>
  );
}

function Password() {
  const change = useAction(async (form: FormData) => {
    const body = {
      currentPassword: textOf(form, "currentPassword"),
      newPassword: textOf(form, "newPassword"),
      confirmNewPassword: textOf(form, "confirmNewPassword"),
    };
    if (body.newPassword !== body.confirmNewPassword) {
      const message = "differs from the new password";
      throw new Failure(0, "differs", "The new passwords differ.", [
        { field: "confirmNewPassword", message },
      ]);
    }
    tell((await ok(api.PUT("/v1/user/password", { body }))).message);
  });
  return (
    <section className="card" aria-label="Password">
      <h2>Password</h2>
      <Form
        action={change}
        emptied
        buttons={
          <Button type="submit" look="secondary" busy={change.busy}>
            Change the password
          </Button>
        }
      >
        <Field
          label="Present password"
          name="currentPassword"
          type="password"
          required
          autoComplete="current-password"
          failure={change.failure}
        />
        <Field
          label="New password"
          name="newPassword"
          type="password"
          required
          autoComplete="new-password"
          failure={change.failure}
        />
        <Field
          label="New password again"
          name="confirmNewPassword"
          type="password"
          required
          autoComplete="new-password"
          hint="You are signed out everywhere else."
          failure={change.failure}
        />
      </Form>
    </section>
  );
}
