import { useState } from "react";
import { api, ok } from "../../api/client";
import { useAction } from "../../api/useAction";
import { Button, LinkButton } from "../../components/Button";
import { Field, textOf } from "../../components/Field";
import { Form } from "../../components/Form";
import { Link } from "../../routing/router";
import { Gate } from "./Gate";
import { IncompleteLink } from "./IncompleteLink";
import { linkToken } from "./links";

export function ForgotPasswordPage() {
  const [told, setTold] = useState<string>();
  const ask = useAction(async (form: FormData) => {
    const body = { email: textOf(form, "email").trim() };
    setTold((await ok(api.POST("/v1/auth/forgot-password", { body }))).message);
  });
  if (told) {
    return (
      <Gate title="Look into your mail" lead={told}>
        <Link to="/sign-in">Sign in</Link>
      </Gate>
    );
  }
  return (
    <Gate title="Forgotten password" lead="A link to choose a new one comes by mail.">
      <Form
        action={ask}
        buttons={
          <>
            <Button type="submit" busy={ask.busy}>
              Send the link
            </Button>
            <LinkButton to="/sign-in" look="quiet">
              Back
            </LinkButton>
          </>
        }
      >
        <Field
          label="E-mail"
          name="email"
          type="email"
          required
          autoComplete="username"
          failure={ask.failure}
        />
      </Form>
    </Gate>
  );
}

export function ResetPasswordPage() {
  const [done, setDone] = useState(false);
  const [token] = useState(linkToken);
  const reset = useAction(async (form: FormData) => {
    const body = { token, newPassword: textOf(form, "newPassword") };
    await ok(api.POST("/v1/auth/reset-password", { body }));
    setDone(true);
  });
  if (done) {
    return (
      <Gate title="The password is set" lead="You are signed out everywhere. Sign in with it.">
        <LinkButton to="/sign-in">Sign in</LinkButton>
      </Gate>
    );
  }
  if (!token) {
    return (
      <IncompleteLink>
        <Link to="/forgot-password">Send another</Link>
      </IncompleteLink>
    );
  }
  return (
    <Gate title="Choose a new password">
      <Form
        action={reset}
        buttons={
          <Button type="submit" busy={reset.busy}>
            Set the password
          </Button>
        }
      >
        <Field
          label="New password"
          name="newPassword"
          type="password"
          required
          autoFocus
          autoComplete="new-password"
          failure={reset.failure}
        />
      </Form>
      <p className="small">
        Link too old? <Link to="/forgot-password">Send another</Link>
      </p>
    </Gate>
  );
}
