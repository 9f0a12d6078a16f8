import { api, ok, type Schema } from "../../api/client";
import { useLive } from "../../api/live";
import { useLoad } from "../../api/useLoad";
import { Badge } from "../../components/Badge";
import { LinkButton } from "../../components/Button";
import { Chart } from "../../components/Chart";
import { Moment } from "../../components/Moment";
import { count, milliseconds, percent } from "../../components/numbers";
import { startOf } from "../../components/ranges";
import { Show } from "../../components/Show";
import { Stat } from "../../components/Stat";
import { Table } from "../../components/Table";
import { Page } from "../../layout/Page";
import { Link } from "../../routing/router";
import { mayWrite, useTeams } from "../../session/teams";
import { FirstSteps } from "./FirstSteps";

const SHOWN = 6;

/** For who is new: the first steps. For everybody else: how things are. */
export function HomePage() {
  const { team } = useTeams();
  const home = useLoad(
    `home ${team.id}`,
    async (signal) => {
      const query = { teamId: team.id };
      const [list, keys, overview] = await Promise.all([
        ok(api.GET("/v1/deployments", { params: { query: { ...query, limit: SHOWN } }, signal })),
        ok(api.GET("/v1/api-keys", { params: { query: { ...query, limit: 1 } }, signal })),
        ok(
          api.GET("/v1/analytics/overview", {
            params: { query: { ...query, from: startOf("24h"), resolution: "1h" } },
            signal,
          }),
        ),
      ]);
      return { list, keys: keys.pagination.total, overview };
    },
    15,
  );
  useLive((event) => event.teamId === team.id, home.reload);
  return (
    <Page
      title="Home"
      lead={team.personal ? undefined : team.name}
      actions={
        mayWrite(team) &&
        home.data &&
        home.data.list.deployments.length > 0 && (
          <LinkButton to="/deployments/new">New deployment</LinkButton>
        )
      }
    >
      <Show of={home}>
        {({ list, keys, overview }) => (
          <>
            {mayWrite(team) && (
              <FirstSteps
                deployment={list.deployments[0]}
                keys={keys}
                called={overview.totals.billable > 0}
                reload={home.reload}
              />
            )}
            {list.deployments.length > 0 && (
              <>
                <LastDay overview={overview} deployments={list.pagination.total} keys={keys} />
                <section className="card flush" aria-label="Deployments">
                  <Table
                    caption="Deployments"
                    columns={[
                      {
                        name: "Deployment",
                        cell: (one) => (
                          <Link to={`/deployments/${one.id}`} className="main wrap">
                            {one.appName}
                          </Link>
                        ),
                      },
                      { name: "Status", cell: (one) => <Badge status={one.status} /> },
                      { name: "Replicas", right: true, cell: (one) => one.replicas },
                      { name: "Changed", cell: (one) => <Moment at={one.updatedAt} /> },
                    ]}
                    rows={list.deployments}
                    keyOf={(one) => one.id}
                  />
                  {list.pagination.total > SHOWN && (
                    <div className="pager">
                      <Link to="/deployments">All {count(list.pagination.total)}</Link>
                    </div>
                  )}
                </section>
              </>
            )}
          </>
        )}
      </Show>
    </Page>
  );
}

/** How the whole team's requests went. */
function LastDay({
  overview: { from, to, totals, points },
  deployments,
  keys,
}: {
  overview: Schema["Overview"];
  deployments: number;
  keys: number;
}) {
  const series = (name: "requests" | "errors") =>
    (points ?? []).map((one) => ({ timestamp: one.timestamp, value: one[name] }));
  return (
    <section className="card stack" aria-label="The last 24 hours">
      <h2>The last 24 hours</h2>
      <div className="columns stats">
        <Stat name="Requests" value={count(totals.requests)} />
        <Stat name="Failed (5xx)" value={percent(totals.errorRate)} />
        <Stat
          name="95 % take less than"
          value={totals.latency ? milliseconds(totals.latency.p95) : "–"}
        />
        <Stat name="Deployments" value={count(deployments)} />
        <Stat name="API keys" value={count(keys)} />
      </div>
      {totals.requests > 0 ? (
        <Chart
          title="Requests per hour"
          from={from}
          to={to}
          format={count}
          series={[
            { name: "all", points: series("requests") },
            { name: "of them failed", points: series("errors") },
          ]}
        />
      ) : (
        <p className="soft">
          Nothing was called in this time. A request is drawn here within seconds of its answer;
          each deployment&rsquo;s page has a line to copy that makes one.
        </p>
      )}
    </section>
  );
}
