import { api, ok, type Schema } from "../../api/client";
import { useLoad } from "../../api/useLoad";
import { Chart } from "../../components/Chart";
import { bytes, cents, count, money } from "../../components/numbers";
import { Empty } from "../../components/Notice";
import { Show } from "../../components/Show";
import { Stat } from "../../components/Stat";
import { Table, type Column } from "../../components/Table";
import { Page } from "../../layout/Page";
import { Link } from "../../routing/router";
import { useTeams } from "../../session/teams";

/** This month: how much was served, and what it costs so far. */
export function UsagePage() {
  const { team } = useTeams();
  const names = useLoad(`names ${team.id}`, (signal) => namesOf(team.id, signal));
  const usage = useLoad(
    `usage ${team.id}`,
    async (signal) => {
      const params = { query: { teamId: team.id } };
      const [used, estimate] = await Promise.all([
        ok(api.GET("/v1/usage", { params, signal })),
        ok(api.GET("/v1/billing/estimate", { params, signal })),
      ]);
      return { used, estimate };
    },
    60,
  );
  const nameOf = (id: string) => names.data?.get(id) ?? id;
  return (
    <Page
      title="Usage and cost"
      lead="This month so far. Only requests that reached a replica cost."
    >
      <Show of={usage}>
        {({ used, estimate }) => (
          <>
            <section className="card" aria-label="This month">
              <div className="columns stats">
                <Stat name="So far" value={`${cents(estimate.total)} ${estimate.currency}`} />
                <Stat name="Billed requests" value={count(used.totals.billable)} />
                <Stat name="All requests" value={count(used.totals.requests)} />
                <Stat name="Received" value={bytes(used.totals.bytesIn)} />
                <Stat name="Sent" value={bytes(used.totals.bytesOut)} />
              </div>
              <p className="soft small">
                {money(estimate.pricePerMillionRequests)} {estimate.currency} per million requests.
              </p>
            </section>
            {used.byDay.length > 1 && (
              <section className="card">
                <Chart
                  title="Billed requests by day"
                  from={used.from}
                  to={used.to}
                  format={count}
                  series={[
                    {
                      name: "billed",
                      points: used.byDay.map((day) => ({
                        timestamp: `${day.day}T00:00:00Z`,
                        value: day.billable,
                      })),
                    },
                  ]}
                />
              </section>
            )}
            <section className="card flush" aria-label="Cost by deployment">
              {estimate.lines.length > 0 ? (
                <Table
                  caption="Cost by deployment"
                  columns={linesOf(nameOf, estimate.currency)}
                  rows={estimate.lines}
                  keyOf={(line) => line.deploymentId}
                />
              ) : (
                <Empty title="Nothing to pay yet">
                  <p>As soon as a deployment is called, it is counted here by the hour.</p>
                </Empty>
              )}
            </section>
            {used.byKey.length > 0 && (
              <section className="card flush" aria-label="Use by key">
                <Table
                  caption="Use by key"
                  columns={keysOf(nameOf)}
                  rows={used.byKey}
                  keyOf={(key) => key.keyId || "none"}
                />
              </section>
            )}
          </>
        )}
      </Show>
    </Page>
  );
}

function linesOf(
  nameOf: (id: string) => string,
  currency: string,
): ReadonlyArray<Column<Schema["EstimateLine"]>> {
  return [
    {
      name: "Deployment",
      cell: (line) => (
        <Link to={`/deployments/${line.deploymentId}`} className="main wrap">
          {nameOf(line.deploymentId)}
        </Link>
      ),
    },
    { name: "Billed requests", right: true, cell: (line) => count(line.quantity) },
    { name: `Amount (${currency})`, right: true, cell: (line) => money(line.amount) },
  ];
}

function keysOf(nameOf: (id: string) => string): ReadonlyArray<Column<Schema["KeyUsage"]>> {
  return [
    {
      name: "API key",
      cell: (key) =>
        key.keyId ? (
          <Link to={`/keys/${key.keyId}`} className="main wrap">
            {nameOf(key.keyId)}
          </Link>
        ) : (
          <span className="soft">without a key</span>
        ),
    },
    { name: "Requests", right: true, cell: (key) => count(key.requests) },
    { name: "Billed", right: true, cell: (key) => count(key.billable) },
    {
      name: "Refused or failed",
      right: true,
      cell: (key) => count(key.clientErrors + key.serverErrors),
    },
  ];
}

async function namesOf(teamId: string, signal: AbortSignal): Promise<Map<string, string>> {
  const params = { query: { teamId, limit: 100 } };
  const [deployments, keys] = await Promise.all([
    ok(api.GET("/v1/deployments", { params, signal })),
    ok(api.GET("/v1/api-keys", { params, signal })),
  ]);
  return new Map([
    ...deployments.deployments.map((one) => [one.id, one.appName] as const),
    ...keys.apiKeys.map((one) => [one.id, one.name] as const),
  ]);
}
