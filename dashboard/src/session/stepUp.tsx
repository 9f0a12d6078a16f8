/** Delicate things ask for the password once more; then they go on by themselves. */
import { useState, useSyncExternalStore } from "react";
import { asFailure, failureOf } from "../api/failure";
import { useAction } from "../api/useAction";
import { Button } from "../components/Button";
import { Dialog } from "../components/Dialog";
import { Field, textOf } from "../components/Field";
import { Form } from "../components/Form";
import { accessToken } from "./session";

type Decide = (proved: boolean) => void;

let waiting: readonly Decide[] = [];
const listeners = new Set<() => void>();

/** Asks for the password; false when the person would rather not. */
export function stepUp(): Promise<boolean> {
  return new Promise((decide) => become([...waiting, decide]));
}

/** Where it is asked: once, around everything. */
export function StepUp() {
  const asked = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => waiting,
  );
  if (asked.length === 0) return null;
  const decide = (proved: boolean) => {
    become([]);
    asked.forEach((one) => one(proved));
  };
  return <StepUpDialog decide={decide} />;
}

function StepUpDialog({ decide }: { decide: Decide }) {
  const [withCode, setWithCode] = useState(false);
  const prove = useAction(async (form: FormData) => {
    try {
      await sendProof(textOf(form, "password"), textOf(form, "otp").trim());
      decide(true);
    } catch (error) {
      if (asFailure(error).code !== "otp_required") throw error;
      setWithCode(true);
    }
  });
  return (
    <Dialog title="Is it still you?" close={() => decide(false)}>
      <p className="soft">This is delicate, so your password is asked for once more.</p>
      <Form
        action={prove}
        buttons={
          <>
            <Button type="submit" busy={prove.busy}>
              Go on
            </Button>
            <Button look="secondary" onClick={() => decide(false)}>
              Cancel
            </Button>
          </>
        }
      >
        <Field
          label="Password"
          name="password"
          type="password"
          required
          autoFocus
          autoComplete="current-password"
          failure={prove.failure}
        />
        {withCode && (
          <Field
            label="Code"
            name="otp"
            required
            autoFocus
            autoComplete="one-time-code"
            hint="From your authenticator app, or a recovery code."
            failure={prove.failure}
          />
        )}
      </Form>
    </Dialog>
  );
}

/** Not by the client of the API, which itself waits for this. */
async function sendProof(password: string, otp: string): Promise<void> {
  const answer = await fetch("/v1/auth/step-up", {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      Authorization: `Bearer ${await accessToken()}`,
    },
    body: JSON.stringify({ password, ...(otp && { otp }) }),
  });
  if (!answer.ok) throw failureOf(answer.status, await answer.json());
}

function become(next: readonly Decide[]): void {
  waiting = next;
  listeners.forEach((listener) => listener());
}
