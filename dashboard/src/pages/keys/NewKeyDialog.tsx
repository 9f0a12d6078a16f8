import { useState } from "react";
import { api, ok, type Schema } from "../../api/client";
import { useAction } from "../../api/useAction";
import { useLoad } from "../../api/useLoad";
import { Button } from "../../components/Button";
import { Code } from "../../components/Copy";
import { Dialog, DialogButtons } from "../../components/Dialog";
import { Check, Field, Select, textOf } from "../../components/Field";
import { Form } from "../../components/Form";
import { Notice } from "../../components/Notice";
import { useTeams } from "../../session/teams";

const OTHER_SCOPES: ReadonlyArray<[scope: string, meaning: string]> = [
  ["deployments:read", "See deployments"],
  ["deployments:write", "Deploy and change"],
  ["logs:read", "Read logs"],
  ["analytics:read", "Read analytics"],
  ["keys:read", "See keys"],
  ["keys:write", "Make and revoke keys"],
];

/** Makes a key and shows it, this once. */
export function NewKeyDialog({ close }: { close: () => void }) {
  const { team } = useTeams();
  const [made, setMade] = useState<Schema["CreatedKey"]>();
  const deployments = useLoad(`deployments of ${team.id}`, (signal) =>
    ok(
      api.GET("/v1/deployments", {
        params: { query: { limit: 100, teamId: team.id } },
        signal,
      }),
    ),
  );
  const make = useAction(async (form: FormData) => {
    const only = textOf(form, "deploymentId");
    const others = form.getAll("scope").map(String);
    const calls = form.get("calls") === "on" ? [only ? `call:${only}` : "call:*"] : [];
    const scopes = [...calls, ...others];
    const networks = textOf(form, "allowedCidrs")
      .split(/[\s,]+/)
      .filter(Boolean);
    const expires = textOf(form, "expiresAt");
    const perMinute = textOf(form, "requestsPerMinute");
    const body: Schema["NewKey"] = {
      teamId: team.id,
      name: textOf(form, "name").trim(),
      scopes: scopes.length > 0 ? scopes : undefined,
      allowedCidrs: networks.length > 0 ? networks : undefined,
      expiresAt: expires ? new Date(expires).toISOString() : undefined,
      requestsPerMinute: perMinute ? Number(perMinute) : undefined,
    };
    setMade(await ok(api.POST("/v1/api-keys", { body })));
  });
  if (made) return <KeyShownOnce name={made.name} secret={made.apiKey} close={close} />;
  return (
    <Dialog title="New key" close={close}>
      <Form
        action={make}
        buttons={<DialogButtons verb="Make the key" busy={make.busy} close={close} />}
      >
        <Field
          label="Name"
          name="name"
          required
          autoFocus
          maxLength={100}
          hint="Where it will be used: “till in the shop”."
          failure={make.failure}
        />
        <Check name="calls" label="Call deployments" defaultChecked />
        <Select label="Which" name="deploymentId">
          <option value="">All of the team</option>
          {deployments.data?.deployments.map((one) => (
            <option key={one.id} value={one.id}>
              {one.appName}
            </option>
          ))}
        </Select>
        <details>
          <summary>More</summary>
          <div className="stack inset">
            <fieldset>
              <legend>On this platform it may also</legend>
              {OTHER_SCOPES.map(([scope, meaning]) => (
                <Check
                  key={scope}
                  name="scope"
                  value={scope}
                  label={
                    <>
                      {meaning} <span className="soft mono">{scope}</span>
                    </>
                  }
                />
              ))}
            </fieldset>
            <div className="fields">
              <Field
                label="Requests per minute"
                name="requestsPerMinute"
                type="number"
                min={1}
                failure={make.failure}
              />
              <Field
                label="Expires"
                name="expiresAt"
                type="datetime-local"
                failure={make.failure}
              />
            </div>
            <Field
              label="Only from these networks"
              name="allowedCidrs"
              placeholder="192.0.2.0/24, 2001:db8::/32"
              failure={make.failure}
            />
          </div>
        </details>
      </Form>
    </Dialog>
  );
}

/** The only sight of a key. */
export function KeyShownOnce({
  name,
  secret,
  close,
}: {
  name: string;
  secret: string;
  close: () => void;
}) {
  return (
    <Dialog title={`The key “${name}”`} close={close} insists>
      <Notice tone="warn">Copy it now: it is never shown again, and nobody can look it up.</Notice>
      <Code text={secret} label="the key" />
      <div className="row end">
        <Button onClick={close}>I have it</Button>
      </div>
    </Dialog>
  );
}
