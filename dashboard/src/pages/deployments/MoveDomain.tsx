import { useId } from "react";
import { api, ok } from "../../api/client";
import { Failure } from "../../api/failure";
import { useAction } from "../../api/useAction";
import { useLoad } from "../../api/useLoad";
import { Dialog, DialogButtons } from "../../components/Dialog";
import { Field, textOf } from "../../components/Field";
import { Form } from "../../components/Form";
import { tell } from "../../components/Toasts";
import type { Domain } from "./DomainsTab";

const OFFERED_MAX = 100;

/** Lets a domain lead to another deployment of the team, which is found by its name. */
export function MoveDomain({
  domain,
  teamId,
  close,
  changed,
}: {
  domain: Domain;
  teamId: string;
  close: () => void;
  changed: () => void;
}) {
  const offers = useId();
  const others = useLoad(`to move to ${teamId}`, (signal) =>
    ok(
      api.GET("/v1/deployments", {
        params: { query: { teamId, limit: OFFERED_MAX } },
        signal,
      }),
    ),
  );
  const move = useAction(async (form: FormData) => {
    const appName = textOf(form, "to").trim();
    const query = { teamId, appName };
    const { deployments } = await ok(api.GET("/v1/deployments", { params: { query } }));
    const [other] = deployments;
    if (!other) throw new Failure(0, "", `This team has no deployment called ${appName}.`);
    await ok(
      api.PATCH("/v1/deployments/{deployment_id}/domains/{domain_id}", {
        params: { path: { deployment_id: domain.deploymentId, domain_id: domain.id } },
        body: { deploymentId: other.id },
      }),
    );
    tell(`${domain.domain} leads to ${appName} now`);
    close();
    changed();
  });
  return (
    <Dialog title={`Move ${domain.domain}`} close={close}>
      <p>
        Requests to it are answered by the other deployment at once, with the same certificate.
        Callers of a private deployment need a key that may call that one.
      </p>
      <p className="soft">
        If its CNAME names the app, the record has to name the other one soon: the new record is
        shown there.
      </p>
      <Form action={move} buttons={<DialogButtons verb="Move" busy={move.busy} close={close} />}>
        <Field
          label="To deployment"
          name="to"
          required
          autoFocus
          list={offers}
          spellCheck={false}
          autoCapitalize="none"
        />
        <datalist id={offers}>
          {others.data?.deployments
            .filter((one) => one.id !== domain.deploymentId)
            .map((one) => (
              <option key={one.id} value={one.appName} />
            ))}
        </datalist>
      </Form>
    </Dialog>
  );
}
