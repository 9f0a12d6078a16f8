import { useState } from "react";
import { api, ok } from "../../api/client";
import { useAction } from "../../api/useAction";
import { Button } from "../../components/Button";
import { Field, textOf } from "../../components/Field";
import { Form } from "../../components/Form";
import { Notice } from "../../components/Notice";
import { Page } from "../../layout/Page";
import { useQuery } from "../../routing/router";

/** Lets a device without a browser sign in, by the code that it shows. */
export function DevicePage() {
  const code = useQuery().get("code") ?? "";
  const [said, setSaid] = useState<string>();
  const decide = useAction(async (form: FormData) => {
    const body = { userCode: textOf(form, "userCode").trim() };
    const approve = textOf(form, "decision") === "approve";
    if (approve) await ok(api.POST("/v1/auth/device/approve", { body }));
    else await ok(api.POST("/v1/auth/device/deny", { body }));
    setSaid(approve ? "It is signed in as you. You can close this page." : "It was refused.");
  });
  return (
    <Page
      title="Sign in a device"
      lead="A command line, or whatever else has no browser, shows a code and waits."
    >
      {said === undefined ? (
        <div className="card narrow">
          <Form
            action={decide}
            buttons={
              <>
                <Button type="submit" name="decision" value="approve" busy={decide.busy}>
                  Sign it in
                </Button>
                <Button type="submit" name="decision" value="deny" look="secondary">
                  Refuse it
                </Button>
              </>
            }
          >
            <Field
              label="Code"
              name="userCode"
              defaultValue={code}
              required
              autoFocus
              autoComplete="off"
              maxLength={40}
              placeholder="BCDF-GHJK"
              hint="Sign it in only if you asked for this yourself, a moment ago: it may then do what you may."
              failure={decide.failure}
            />
          </Form>
        </div>
      ) : (
        <div role="status">
          <Notice tone="good">{said}</Notice>
        </div>
      )}
    </Page>
  );
}
