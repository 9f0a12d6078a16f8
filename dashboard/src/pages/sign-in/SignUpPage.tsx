import { useState } from "react";
import { api, ok } from "../../api/client";
import { useAction } from "../../api/useAction";
import { Button } from "../../components/Button";
import { Field, textOf } from "../../components/Field";
import { Form } from "../../components/Form";
import { Link } from "../../routing/router";
import { COOKIE_SESSION } from "../../session/session";
import { Gate } from "./Gate";
import { enter } from "./SignInPage";

/** Makes an account and goes straight in, unless its address has to be verified first. */
export function SignUpPage() {
  const [waiting, setWaiting] = useState<string>();
  const signUp = useAction(async (form: FormData) => {
    const email = textOf(form, "email").trim();
    const password = textOf(form, "password");
    const account = await ok(
      api.POST("/v1/auth/register", {
        body: {
          username: textOf(form, "username").trim(),
          email,
          password,
          confirmPassword: password,
        },
      }),
    );
    if (account.status === "pending") {
      setWaiting(email);
      return;
    }
    const body = { email, password };
    enter(await ok(api.POST("/v1/auth/login", { body, headers: COOKIE_SESSION })), "/sign-up");
  });

  if (waiting !== undefined) return <WaitingForMail email={waiting} />;
  return (
    <Gate title="Sign up" lead="An account of your own, and a team that is yours alone.">
      <Form
        action={signUp}
        buttons={
          <Button type="submit" busy={signUp.busy}>
            Sign up
          </Button>
        }
      >
        <Field
          label="Name"
          name="username"
          hint="3 to 32 letters and digits, with - _ . between them. Others in your teams see it."
          required
          minLength={3}
          maxLength={32}
          autoComplete="username"
          autoCapitalize="none"
          spellCheck={false}
          failure={signUp.failure}
        />
        <Field
          label="E-mail"
          name="email"
          type="email"
          required
          autoComplete="email"
          failure={signUp.failure}
        />
        <Field
          label="Password"
          name="password"
          type="password"
          hint="Long is good: a few words that belong to nobody but you."
          required
          autoComplete="new-password"
          failure={signUp.failure}
        />
      </Form>
      <p className="small">
        Have an account? <Link to="/sign-in">Sign in</Link>
      </p>
    </Gate>
  );
}

function WaitingForMail({ email }: { email: string }) {
  const resend = useAction(() => ok(api.POST("/v1/auth/verify-email/resend", { body: { email } })));
  const [again, setAgain] = useState(false);
  return (
    <Gate
      title="Look into your mail"
      lead={`A link is on its way to ${email}. It opens your account.`}
    >
      <div className="row">
        <Button
          look="secondary"
          busy={resend.busy}
          onClick={() => void resend.run().then((done) => setAgain(done))}
        >
          Send it again
        </Button>
        <span role="status">{again && "Sent again."}</span>
      </div>
      <p className="small">
        <Link to="/sign-in">Sign in</Link>
      </p>
    </Gate>
  );
}
