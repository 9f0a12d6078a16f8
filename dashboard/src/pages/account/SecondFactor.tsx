import { useState } from "react";
import { api, ok, type Schema } from "../../api/client";
import { useAction } from "../../api/useAction";
import { useLoad } from "../../api/useLoad";
import { Tag } from "../../components/Badge";
import { Button } from "../../components/Button";
import { Code } from "../../components/Copy";
import { Dialog, DialogButtons } from "../../components/Dialog";
import { Field, textOf } from "../../components/Field";
import { Form } from "../../components/Form";
import { Notice } from "../../components/Notice";
import { plural } from "../../components/numbers";
import { Show } from "../../components/Show";
import { QrCode } from "./QrCode";

type Asking = "on" | "off" | "codes";

/** Codes of an app at sign-in: on, off, and the codes for the day the app is lost. */
export function SecondFactor() {
  const [asking, setAsking] = useState<Asking>();
  const [codes, setCodes] = useState<string[]>();
  const state = useLoad("second factor", (signal) => ok(api.GET("/v1/user/2fa", { signal })));
  const done = (next?: string[]) => {
    setAsking(undefined);
    setCodes(next);
    state.reload();
  };
  return (
    <section className="card" aria-label="Second factor">
      <h2>Second factor</h2>
      <Show of={state}>
        {({ enabled, recoveryCodesLeft }) =>
          enabled ? (
            <>
              <p className="row">
                <Tag tone="good">on</Tag> Signing in asks for a code of your app.{" "}
                {plural(recoveryCodesLeft, "recovery code")} left.
              </p>
              <div className="row">
                <Button look="secondary" onClick={() => setAsking("codes")}>
                  New recovery codes
                </Button>
                <Button look="danger" onClick={() => setAsking("off")}>
                  Turn off
                </Button>
              </div>
            </>
          ) : (
            <>
              <p className="soft">
                Then nobody signs in with your password alone: a code of an app on your phone is
                asked for, too.
              </p>
              <div>
                <Button look="secondary" onClick={() => setAsking("on")}>
                  Turn on
                </Button>
              </div>
            </>
          )
        }
      </Show>
      {asking === "on" && <TurnOn close={() => setAsking(undefined)} done={done} />}
      {(asking === "off" || asking === "codes") && (
        <Prove what={asking} close={() => setAsking(undefined)} done={done} />
      )}
      {codes && <RecoveryCodes codes={codes} close={() => setCodes(undefined)} />}
    </section>
  );
}

function TurnOn({ close, done }: { close: () => void; done: (codes: string[]) => void }) {
  const [prepared, setPrepared] = useState<Schema["Preparation"]>();
  const prepare = useAction(async (form: FormData) => {
    const body = { password: textOf(form, "password") };
    setPrepared(await ok(api.POST("/v1/user/2fa", { body })));
  });
  const confirm = useAction(async (form: FormData) => {
    const body = { otp: textOf(form, "otp").trim() };
    done((await ok(api.POST("/v1/user/2fa/confirm", { body }))).recoveryCodes);
  });
  if (!prepared) {
    return (
      <Dialog title="Turn the second factor on" close={close}>
        <Form
          action={prepare}
          buttons={<DialogButtons verb="Go on" busy={prepare.busy} close={close} />}
        >
          <Field
            label="Password"
            name="password"
            type="password"
            required
            autoFocus
            autoComplete="current-password"
            failure={prepare.failure}
          />
        </Form>
      </Dialog>
    );
  }
  return (
    <Dialog title="Add it to your app" close={close}>
      <p>Take the picture with an authenticator app, or type the secret into it.</p>
      <QrCode text={prepared.otpauthUri} label="QR code with the secret" />
      <Code text={prepared.secret} label="the secret" />
      <Form
        action={confirm}
        buttons={<DialogButtons verb="Turn on" busy={confirm.busy} close={close} />}
      >
        <Field
          label="Code that the app shows"
          name="otp"
          required
          inputMode="numeric"
          autoComplete="one-time-code"
          failure={confirm.failure}
        />
      </Form>
    </Dialog>
  );
}

function Prove({
  what,
  close,
  done,
}: {
  what: "off" | "codes";
  close: () => void;
  done: (codes?: string[]) => void;
}) {
  const prove = useAction(async (form: FormData) => {
    const body = { password: textOf(form, "password"), otp: textOf(form, "otp").trim() };
    if (what === "off") {
      await ok(api.DELETE("/v1/user/2fa", { body }));
      done();
    } else done((await ok(api.POST("/v1/user/2fa/recovery-codes", { body }))).recoveryCodes);
  });
  return (
    <Dialog
      title={what === "off" ? "Turn the second factor off?" : "New recovery codes?"}
      close={close}
    >
      <p className="soft">
        {what === "off"
          ? "From then on your password alone signs in."
          : "Those you have count no more."}
      </p>
      <Form
        action={prove}
        buttons={
          <DialogButtons
            verb={what === "off" ? "Turn off" : "Make them"}
            busy={prove.busy}
            danger={what === "off"}
            close={close}
          />
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
        <Field
          label="Code"
          name="otp"
          required
          autoComplete="one-time-code"
          failure={prove.failure}
        />
      </Form>
    </Dialog>
  );
}

function RecoveryCodes({ codes, close }: { codes: string[]; close: () => void }) {
  return (
    <Dialog title="Your recovery codes" close={close} insists>
      <Notice tone="warn">
        For the day your app is lost. Each works once, and they are never shown again: print them,
        or keep them where your passwords are.
      </Notice>
      <Code text={codes.join("\n")} label="the recovery codes" />
      <div className="row end">
        <Button onClick={close}>I have them</Button>
      </div>
    </Dialog>
  );
}
