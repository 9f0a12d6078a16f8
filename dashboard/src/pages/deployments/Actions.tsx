import { useState } from "react";
import { api, ok } from "../../api/client";
import { useAction } from "../../api/useAction";
import { useLoad } from "../../api/useLoad";
import { Button } from "../../components/Button";
import { Dialog } from "../../components/Dialog";
import { Field } from "../../components/Field";
import { money } from "../../components/numbers";
import { FailureNotice } from "../../components/Notice";
import { tell } from "../../components/Toasts";
import { mayWrite, useTeams } from "../../session/teams";
import type { Deployment } from "./deployment";

const WOUND_DOWN = new Set(["stopped", "stopping", "deleting"]);

/** What can be done with a deployment as it is now. */
export function Actions({ deployment, changed }: { deployment: Deployment; changed: () => void }) {
  const { teams } = useTeams();
  const [scaling, setScaling] = useState(false);
  const params = { path: { deployment_id: deployment.id } };
  const act = useAction(async (what: "stop" | "start" | "restart") => {
    const answer = await ok(api.POST(`/v1/deployments/{deployment_id}/${what}`, { params }));
    tell(answer.message);
    changed();
  });
  const team = teams.find((one) => one.id === deployment.teamId);
  if (!team || !mayWrite(team) || deployment.status === "deleting") return null;
  const stopped = WOUND_DOWN.has(deployment.status);
  return (
    <>
      <Button look="secondary" onClick={() => setScaling(true)} disabled={stopped}>
        Scale
      </Button>
      <Button
        look="secondary"
        busy={act.busy}
        disabled={stopped}
        onClick={() => void act.run("restart")}
      >
        Restart
      </Button>
      <Button
        look={stopped ? "primary" : "secondary"}
        busy={act.busy}
        onClick={() => void act.run(stopped ? "start" : "stop")}
      >
        {stopped ? "Start" : "Stop"}
      </Button>
      <FailureNotice failure={act.failure} />
      {scaling && (
        <ScaleDialog deployment={deployment} changed={changed} close={() => setScaling(false)} />
      )}
    </>
  );
}

function ScaleDialog({
  deployment,
  changed,
  close,
}: {
  deployment: Deployment;
  changed: () => void;
  close: () => void;
}) {
  const [replicas, setReplicas] = useState(String(deployment.replicas));
  const params = { path: { deployment_id: deployment.id } };
  const scale = useAction(async () => {
    const body = { replicas: Number(replicas) };
    const answer = await ok(api.PATCH("/v1/deployments/{deployment_id}/scale", { params, body }));
    tell(answer.message);
    changed();
    close();
  });
  return (
    <Dialog title={`Scale ${deployment.appName}`} close={close}>
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          void scale.run();
        }}
      >
        <Field
          label="Replicas"
          name="replicas"
          type="number"
          min={0}
          required
          autoFocus
          value={replicas}
          onChange={(event) => setReplicas(event.target.value)}
          hint="Requests are shared among them. None: it answers 503 until there is one again."
          failure={scale.failure}
        />
        <Cost deployment={deployment} replicas={replicas} />
        <FailureNotice failure={scale.failure} />
        <div className="row end">
          <Button look="secondary" onClick={close}>
            Cancel
          </Button>
          <Button type="submit" busy={scale.busy}>
            Scale
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

/** What a month costs, now and then. */
function Cost({ deployment, replicas }: { deployment: Deployment; replicas: string }) {
  const wanted = /^\d{1,4}$/.test(replicas) ? Number(replicas) : undefined;
  const estimate = useLoad(
    wanted === undefined ? null : `estimate ${deployment.id} ${wanted}`,
    (signal) =>
      ok(
        api.GET("/v1/deployments/{deployment_id}/estimate", {
          params: { path: { deployment_id: deployment.id }, query: { replicas: wanted } },
          signal,
        }),
      ),
  );
  if (!estimate.data) return null;
  const { before, after, currency } = estimate.data;
  return (
    <p className="soft small" role="status">
      {money(before.perMonth.total)} {currency} a month as it is, {money(after.perMonth.total)}{" "}
      {currency} then.
    </p>
  );
}
