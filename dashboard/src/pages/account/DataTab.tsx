import { useState } from "react";
import { api, ok } from "../../api/client";
import { useAction } from "../../api/useAction";
import { Button } from "../../components/Button";
import { Dialog, DialogButtons } from "../../components/Dialog";
import { Field, textOf } from "../../components/Field";
import { Form } from "../../components/Form";
import { FailureNotice } from "../../components/Notice";
import { signedOut } from "../../session/session";

/** Everything held about oneself, and the end of it. */
export function DataTab() {
  const [erasing, setErasing] = useState(false);
  const take = useAction(async () => {
    const found = await ok(api.GET("/v1/user/export"));
    save("tallyport-my-data.json", JSON.stringify(found, null, 2));
  });
  return (
    <div className="stack wide narrow">
      <section className="card" aria-label="Take it along">
        <h2>Take it along</h2>
        <p className="soft">
          Everything that is held about you, as JSON: profile, sessions, teams, keys, deployments,
          and every event that names you.
        </p>
        <FailureNotice failure={take.failure} />
        <div>
          <Button look="secondary" busy={take.busy} onClick={() => void take.run()}>
            Download
          </Button>
        </div>
      </section>
      <section className="card" aria-label="Delete the account">
        <h2>Delete the account</h2>
        <p className="soft">
          Your name, your address and everything personal become unreadable for ever, in the log and
          in every copy of it. Teams that have nobody but you end, with all that runs in them.
        </p>
        <div>
          <Button look="danger" onClick={() => setErasing(true)}>
            Delete my account
          </Button>
        </div>
      </section>
      {erasing && <EraseDialog close={() => setErasing(false)} />}
    </div>
  );
}

function EraseDialog({ close }: { close: () => void }) {
  const erase = useAction(async (form: FormData) => {
    const otp = textOf(form, "otp").trim();
    const body = { password: textOf(form, "password"), ...(otp && { otp }) };
    const answer = await ok(api.DELETE("/v1/user", { body }));
    signedOut(answer.message);
  });
  return (
    <Dialog title="Delete your account?" close={close}>
      <p>This cannot be undone, by anybody.</p>
      <Form
        action={erase}
        buttons={<DialogButtons verb="Delete for ever" busy={erase.busy} danger close={close} />}
      >
        <Field
          label="Password"
          name="password"
          type="password"
          required
          autoFocus
          autoComplete="current-password"
          failure={erase.failure}
        />
        <Field
          label="Code, if you have a second factor"
          name="otp"
          autoComplete="one-time-code"
          failure={erase.failure}
        />
      </Form>
    </Dialog>
  );
}

function save(name: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  URL.revokeObjectURL(address);
}
