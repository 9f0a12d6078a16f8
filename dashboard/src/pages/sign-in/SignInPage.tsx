import { useState } from "react";
import { api, ok } from "../../api/client";
import { asFailure } from "../../api/failure";
import { useAction } from "../../api/useAction";
import { Button } from "../../components/Button";
import { Field, textOf } from "../../components/Field";
import { Form } from "../../components/Form";
import { Notice } from "../../components/Notice";
import { Link, navigate, usePath } from "../../routing/router";
import { COOKIE_SESSION, signedIn, type SignedIn } from "../../session/session";
import { Gate } from "./Gate";
import { whereTo } from "./links";
import { PasskeyButton } from "./PasskeyButton";

/** Signs in; who has a second factor is asked for its code next. */
export function SignInPage({ because }: { because?: string }) {
  const [proven, setProven] = useState<{ email: string; password: string }>();
  const path = usePath();
  const signIn = useAction(async (form: FormData) => {
    const email = proven?.email ?? textOf(form, "email").trim();
    const password = proven?.password ?? textOf(form, "password");
    const otp = textOf(form, "otp").trim() || undefined;
    try {
      const answer = await ok(
        api.POST("/v1/auth/login", { body: { email, password, otp }, headers: COOKIE_SESSION }),
      );
      enter(answer, path);
    } catch (error) {
      if (asFailure(error).code !== "otp_required") throw error;
      setProven({ email, password });
    }
  });

  if (proven) {
    return (
      <Gate
        title="One more code"
        lead="From your authenticator app, or one of your recovery codes."
      >
        <Form
          action={signIn}
          buttons={
            <>
              <Button type="submit" busy={signIn.busy}>
                Sign in
              </Button>
              <Button look="quiet" onClick={() => setProven(undefined)}>
                Back
              </Button>
            </>
          }
        >
          <Field
            label="Code"
            name="otp"
            key="otp"
            required
            autoFocus
            autoComplete="one-time-code"
            failure={signIn.failure}
          />
        </Form>
      </Gate>
    );
  }
  return (
    <Gate title="Sign in" lead="Deploy APIs, call them with keys, see every request counted.">
      {because && <Notice>{because}</Notice>}
      <Form
        action={signIn}
        buttons={
          <>
            <Button type="submit" busy={signIn.busy}>
              Sign in
            </Button>
            <PasskeyButton enter={(answer) => enter(answer, path)} />
          </>
        }
      >
        <Field
          label="E-mail"
          name="email"
          type="email"
          required
          autoComplete="username"
          failure={signIn.failure}
        />
        <Field
          label="Password"
          name="password"
          type="password"
          required
          autoComplete="current-password"
          failure={signIn.failure}
        />
      </Form>
      <p className="row between small">
        <Link to="/forgot-password">Forgot the password?</Link>
        <span>
          New here? <Link to="/sign-up">Sign up</Link>
        </span>
      </p>
    </Gate>
  );
}

/** Goes on where somebody wanted to go. */
export function enter(answer: SignedIn, path: string): void {
  signedIn(answer);
  if (path === "/sign-in" || path === "/sign-up") navigate(whereTo(), { replace: true });
}
