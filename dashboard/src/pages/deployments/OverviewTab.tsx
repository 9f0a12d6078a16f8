import { api, ok, type Schema } from "../../api/client";
import { useLoad } from "../../api/useLoad";
import { Badge, Tag } from "../../components/Badge";
import { Moment } from "../../components/Moment";
import { cores, memory, plural } from "../../components/numbers";
import { Show } from "../../components/Show";
import { Stat } from "../../components/Stat";
import { Table, type Column } from "../../components/Table";
import { CallIt } from "./CallIt";
import { PASSING, shortImage, type Deployment } from "./deployment";
import type { TabProps } from "./DeploymentPage";

const COLUMNS: ReadonlyArray<Column<Schema["ReplicaOut"]>> = [
  { name: "Replica", cell: (one) => <span className="mono">{one.id}</span> },
  { name: "Phase", cell: (one) => <Badge status={one.phase} /> },
  { name: "Revision", right: true, cell: (one) => one.revision },
  { name: "Started", cell: (one) => <Moment at={one.startedAt} never="not yet" /> },
  { name: "Restarts", right: true, cell: (one) => one.restarts },
];

/** How it is: replicas, what runs, and a first call. */
export function OverviewTab({ deployment, news }: TabProps) {
  const passing = PASSING.has(deployment.status);
  const params = { path: { deployment_id: deployment.id } };
  const status = useLoad(
    `status ${deployment.id} ${news}`,
    (signal) => ok(api.GET("/v1/deployments/{deployment_id}/status", { params, signal })),
    passing ? 2 : 15,
  );
  return (
    <div className="stack wide">
      <div className="columns">
        <section className="card" aria-label="Replicas">
          <Show of={status}>
            {(now) => (
              <div className="columns stats two">
                <Stat name="Health" value={<Badge status={now.health} />} />
                <Stat
                  name="Replicas ready"
                  value={`${now.replicas.ready} of ${now.replicas.desired}`}
                />
                <Stat name="Up for" value={now.uptime} />
                <Stat name="Restarts" value={now.restartCount} />
              </div>
            )}
          </Show>
        </section>
        <section className="card" aria-label="What runs">
          <dl className="facts">
            <dt>Image</dt>
            <dd className="mono">{shortImage(deployment.image)}</dd>
            <dt>Revision</dt>
            <dd>{deployment.revision}</dd>
            <dt>Port</dt>
            <dd>{deployment.port}</dd>
            <dt>Each replica</dt>
            <dd>
              {cores(deployment.resources.cpu)} of a processor core,{" "}
              {memory(deployment.resources.memory)} of memory,{" "}
              {memory(deployment.resources.storage)} of it for files,{" "}
              {plural(deployment.resources.pids, "process or thread", "processes and threads")}
            </dd>
            <dt>Health check</dt>
            <dd>
              <HealthCheck check={deployment.healthCheck} />
            </dd>
            <dt>May be called</dt>
            <dd>
              <Tag>{deployment.visibility === "public" ? "by anybody" : "with a key"}</Tag>
            </dd>
            <dt>Deployed</dt>
            <dd>
              <Moment at={deployment.deployedAt} never="not yet" />
            </dd>
          </dl>
        </section>
      </div>
      <section className="card" aria-label="Call it">
        <h2>Call it</h2>
        <CallIt deployment={deployment} />
      </section>
      {status.data && status.data.instances.length > 0 && (
        <section className="card flush" aria-label="Each replica">
          <Table
            caption="Replicas"
            columns={COLUMNS}
            rows={status.data.instances}
            keyOf={(one) => one.id}
          />
        </section>
      )}
    </div>
  );
}

function HealthCheck({ check }: { check: Deployment["healthCheck"] }) {
  if (!check) return "an open port";
  const what = check.path ?? check.command?.join(" ") ?? check.type;
  return `${what}, every ${plural(check.periodSeconds, "second")}`;
}
