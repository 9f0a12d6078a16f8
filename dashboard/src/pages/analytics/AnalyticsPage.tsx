import { api, ok, type Schema } from "../../api/client";
import { useLoad } from "../../api/useLoad";
import { LinkButton } from "../../components/Button";
import { Chart } from "../../components/Chart";
import { bytes, count, milliseconds, percent } from "../../components/numbers";
import { Empty } from "../../components/Notice";
import { RANGES, startOf, type Range } from "../../components/ranges";
import { Show } from "../../components/Show";
import { Table, type Column } from "../../components/Table";
import { Choices } from "../../components/Tabs";
import { Page } from "../../layout/Page";
import { setQuery, useQuery } from "../../routing/router";
import { useTeams } from "../../session/teams";
import { Stat } from "../../components/Stat";
import { AnalyticsTabs } from "./AnalyticsTabs";
import { StatusBars } from "./StatusBars";

type Endpoint = Schema["Endpoint"];

const COLUMNS: ReadonlyArray<Column<Endpoint>> = [
  {
    name: "Endpoint",
    cell: (one) => (
      <span className="mono wrap">
        {one.method} {one.path}
      </span>
    ),
  },
  { name: "Requests", right: true, cell: (one) => count(one.totals.requests) },
  { name: "Failed", right: true, cell: (one) => percent(one.totals.errorRate) },
  {
    name: "Half take less",
    right: true,
    cell: (one) => (one.totals.latency ? milliseconds(one.totals.latency.p50) : "–"),
  },
  {
    name: "99 % take less",
    right: true,
    cell: (one) => (one.totals.latency ? milliseconds(one.totals.latency.p99) : "–"),
  },
];
const SHOWN = 100;

/** What was called, how it went, and how long it took. */
export function AnalyticsPage() {
  const { team } = useTeams();
  const query = useQuery();
  const range = (RANGES.find((one) => one.value === query.get("range"))?.value ?? "24h") as Range;
  const deploymentId = query.get("deploymentId") ?? "";
  const keyId = query.get("keyId") ?? "";
  const choices = useLoad(`analytics choices ${team.id}`, async (signal) => {
    const params = { query: { teamId: team.id, limit: SHOWN } };
    const [deployments, keys] = await Promise.all([
      ok(api.GET("/v1/deployments", { params, signal })),
      ok(api.GET("/v1/api-keys", { params, signal })),
    ]);
    return { deployments: deployments.deployments, keys: keys.apiKeys };
  });
  const overview = useLoad(
    `analytics ${team.id} ${range} ${deploymentId} ${keyId}`,
    (signal) =>
      ok(
        api.GET("/v1/analytics/overview", {
          params: {
            query: {
              teamId: team.id,
              from: startOf(range),
              deploymentId: deploymentId || undefined,
              keyId: keyId || undefined,
            },
          },
          signal,
        }),
      ),
    15,
  );
  return (
    <Page title="Analytics" lead="Every request the gateway answered, each of them once.">
      <AnalyticsTabs current="/analytics" />
      <div className="card flush">
        <div className="filters">
          <Choices
            label="Time"
            values={RANGES}
            value={range}
            choose={(next) => setQuery({ range: next === "24h" ? "" : next })}
          />
          <select
            aria-label="Deployment"
            value={deploymentId}
            onChange={(event) => setQuery({ deploymentId: event.target.value })}
          >
            <option value="">All deployments</option>
            {choices.data?.deployments.map((one) => (
              <option key={one.id} value={one.id}>
                {one.appName}
              </option>
            ))}
          </select>
          <select
            aria-label="API key"
            value={keyId}
            onChange={(event) => setQuery({ keyId: event.target.value })}
          >
            <option value="">All keys</option>
            {choices.data?.keys.map((one) => (
              <option key={one.id} value={one.id}>
                {one.name}
              </option>
            ))}
          </select>
        </div>
        <Show of={overview}>
          {({ totals }) =>
            totals.requests === 0 ? (
              <Empty title="Nothing was called in this time">
                <p>
                  A request appears here about a second after its answer. Call a deployment from its
                  page, or with the curl line there.
                </p>
                <LinkButton to="/deployments" look="secondary">
                  Deployments
                </LinkButton>
              </Empty>
            ) : (
              <div className="columns stats four padded">
                <Stat name="Requests" value={count(totals.requests)} />
                <Stat name="Let in and billed" value={count(totals.billable)} />
                <Stat name="Failed (5xx)" value={percent(totals.errorRate)} />
                <Stat name="Refused (4xx)" value={percent(totals.clientErrorRate)} />
                <Stat name="Sent" value={bytes(totals.bytesOut)} />
                <Stat
                  name="Half take less"
                  value={totals.latency ? milliseconds(totals.latency.p50) : "–"}
                />
                <Stat
                  name="95 % take less"
                  value={totals.latency ? milliseconds(totals.latency.p95) : "–"}
                />
                <Stat
                  name="99 % take less"
                  value={totals.latency ? milliseconds(totals.latency.p99) : "–"}
                />
              </div>
            )
          }
        </Show>
      </div>
      {deploymentId && <Series deploymentId={deploymentId} range={range} />}
      {overview.data && overview.data.totals.requests > 0 && (
        <div className="columns sided">
          <section className="card flush" aria-label="Endpoints">
            <Table
              caption="The endpoints called most"
              columns={COLUMNS}
              rows={overview.data.topEndpoints}
              keyOf={(one) => `${one.method} ${one.path}`}
            />
          </section>
          <section className="card" aria-label="Answers">
            <h2>Answers</h2>
            <StatusBars byStatus={overview.data.byStatus} />
          </section>
        </div>
      )}
    </Page>
  );
}

const RESOLUTION: Record<Range, "1m" | "5m" | "1h" | "1d"> = {
  "1h": "1m",
  "24h": "5m",
  "7d": "1h",
  "30d": "1h",
};

function Series({ deploymentId, range }: { deploymentId: string; range: Range }) {
  const metrics = useLoad(
    `series ${deploymentId} ${range}`,
    (signal) =>
      ok(
        api.GET("/v1/deployments/{deployment_id}/metrics", {
          params: {
            path: { deployment_id: deploymentId },
            query: { from: startOf(range), resolution: RESOLUTION[range] },
          },
          signal,
        }),
      ),
    30,
  );
  return (
    <Show of={metrics}>
      {({ metrics: all, from, to }) => (
        <div className="columns charts">
          <section className="card">
            <Chart
              title="Requests"
              from={from}
              to={to}
              format={count}
              series={[
                { name: "all", points: all.requests },
                { name: "of them failed", points: all.errors },
              ]}
            />
          </section>
          <section className="card">
            <Chart
              title="Time to answer"
              from={from}
              to={to}
              format={milliseconds}
              series={[
                { name: "half take less", points: all.latencyP50 },
                { name: "95 % take less", points: all.latencyP95 },
                { name: "99 % take less", points: all.latencyP99 },
              ]}
            />
          </section>
        </div>
      )}
    </Show>
  );
}
