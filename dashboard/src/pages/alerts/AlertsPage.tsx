import { api, ok, type Schema } from "../../api/client";
import { useLive } from "../../api/live";
import { useLoad } from "../../api/useLoad";
import { Tag } from "../../components/Badge";
import { Moment } from "../../components/Moment";
import { Empty } from "../../components/Notice";
import { Paged, usePageNumber } from "../../components/Paged";
import { Show } from "../../components/Show";
import { Table, type Column } from "../../components/Table";
import { Choices } from "../../components/Tabs";
import { Page } from "../../layout/Page";
import { Link, setQuery, useQuery } from "../../routing/router";
import { mayManage, useTeams } from "../../session/teams";
import { Mails } from "./Mails";
import { Rules } from "./Rules";

export type Alert = Schema["AlertShown"];

const STATES = [
  { value: "open", name: "Open" },
  { value: "resolved", name: "Past" },
] as const;
type State = (typeof STATES)[number]["value"];

/** What is wrong with the team's things, what was, and what counts as wrong. */
export function AlertsPage() {
  const { team } = useTeams();
  const query = useQuery();
  const page = usePageNumber();
  const state: State = query.get("state") === "resolved" ? "resolved" : "open";
  const list = useLoad(`alerts ${team.id} ${state} ${page}`, (signal) =>
    ok(
      api.GET("/v1/alerts", {
        params: { query: { teamId: team.id, state, page, limit: 20 } },
        signal,
      }),
    ),
  );
  useLive(
    (event) => event.teamId === team.id && event.type.startsWith("alert."),
    () => list.reload(),
  );
  const rules = useLoad(`rules ${team.id}`, (signal) =>
    ok(api.GET("/v1/alerts/rules", { params: { query: { teamId: team.id } }, signal })),
  );
  return (
    <Page
      title="Alerts"
      lead="Trouble with what the team runs: told once when it begins, and once when it is over."
      actions={
        <Choices
          label="Which alerts"
          values={STATES}
          value={state}
          choose={(next) => setQuery({ state: next === "open" ? "" : next, page: "" })}
        />
      }
    >
      <div className="card flush">
        <Paged
          of={list}
          rows={(data) => data.alerts}
          empty={
            state === "open" ? (
              <Empty title="Nothing is wrong">
                <p>When something is, it stands here until it is over.</p>
              </Empty>
            ) : (
              <Empty title="Nothing was wrong so far">
                <p>Alerts that are over are kept here.</p>
              </Empty>
            )
          }
        >
          {(alerts) => <AlertTable alerts={alerts} />}
        </Paged>
      </div>
      <Mails team={team} />
      <section className="card stack" aria-labelledby="rules">
        <h2 id="rules">What counts as trouble</h2>
        <Show of={rules}>
          {(data) => (
            <Rules
              rules={data.rules}
              may={mayManage(team)}
              change={(rule, body) =>
                ok(
                  api.PATCH("/v1/alerts/rules/{rule}", {
                    params: { path: { rule } },
                    body: { ...body, teamId: team.id },
                  }),
                )
              }
              changed={() => {
                rules.reload();
                list.reload();
              }}
            />
          )}
        </Show>
      </section>
    </Page>
  );
}

const COLUMNS: ReadonlyArray<Column<Alert>> = [
  {
    name: "What",
    cell: (alert) => (
      <span className="stack none">
        <span className="row">
          <Tag
            tone={alert.state === "resolved" ? "" : alert.severity === "critical" ? "bad" : "warn"}
          >
            {alert.severity}
          </Tag>
          <span className="main wrap">
            <Subject alert={alert} />
          </span>
        </span>
        <span className="wrap">{alert.detail}.</span>
        {alert.state === "open" && <span className="soft small wrap">{alert.advice}</span>}
      </span>
    ),
  },
  { name: "Since", cell: (alert) => <Moment at={alert.raisedAt} /> },
  {
    name: "Over",
    cell: (alert) =>
      alert.resolvedAt ? (
        <span className="stack none">
          <Moment at={alert.resolvedAt} />
          <span className="soft small">{alert.resolution}</span>
        </span>
      ) : (
        <span className="soft">not yet</span>
      ),
  },
];

export function AlertTable({ alerts }: { alerts: readonly Alert[] }) {
  return <Table caption="Alerts" columns={COLUMNS} rows={alerts} keyOf={(alert) => alert.id} />;
}

/** What is wrong, leading to where it can be mended. */
function Subject({ alert }: { alert: Alert }) {
  const to = placeOf(alert);
  return to === undefined ? alert.title : <Link to={to}>{alert.title}</Link>;
}

function placeOf({ subject, deploymentId }: Alert): string | undefined {
  if (subject.startsWith("dpl-")) return `/deployments/${subject}`;
  if (subject.startsWith("key-")) return `/keys/${subject}`;
  if (deploymentId) return `/deployments/${deploymentId}/domains`;
  return undefined;
}
