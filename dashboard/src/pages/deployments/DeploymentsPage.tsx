import { api, ok, type Schema } from "../../api/client";
import { useLive } from "../../api/live";
import { useLoad } from "../../api/useLoad";
import { Badge } from "../../components/Badge";
import { Button, LinkButton } from "../../components/Button";
import { textOf } from "../../components/Field";
import { Moment } from "../../components/Moment";
import { Empty } from "../../components/Notice";
import { Paged, usePageNumber } from "../../components/Paged";
import { Table, type Column } from "../../components/Table";
import { Page } from "../../layout/Page";
import { Link, setQuery, useQuery } from "../../routing/router";
import { mayWrite, useTeams } from "../../session/teams";
import { shortImage, STATUSES, type Status } from "./deployment";

type Summary = Schema["Summary"];

const COLUMNS: ReadonlyArray<Column<Summary>> = [
  {
    name: "Name",
    cell: (one) => (
      <Link to={`/deployments/${one.id}`} className="main wrap">
        {one.appName}
      </Link>
    ),
  },
  { name: "Status", cell: (one) => <Badge status={one.status} /> },
  { name: "Image", cell: (one) => <span className="mono wrap">{shortImage(one.image)}</span> },
  { name: "Replicas", right: true, cell: (one) => one.replicas },
  { name: "Changed", cell: (one) => <Moment at={one.updatedAt} /> },
];

export function DeploymentsPage() {
  const { team } = useTeams();
  const query = useQuery();
  const status = (query.get("status") ?? "") as Status | "";
  const page = usePageNumber();
  const appName = query.get("name") ?? "";
  const list = useLoad(`deployments ${team.id} ${status} ${appName} ${page}`, (signal) =>
    ok(
      api.GET("/v1/deployments", {
        params: {
          query: {
            page,
            limit: 25,
            teamId: team.id,
            status: status || undefined,
            appName: appName || undefined,
          },
        },
        signal,
      }),
    ),
  );
  useLive((event) => event.teamId === team.id && event.deploymentId !== undefined, list.reload);

  return (
    <Page
      title="Deployments"
      lead="An image or your code, running under a name, behind a key."
      actions={mayWrite(team) && <LinkButton to="/deployments/new">New deployment</LinkButton>}
    >
      <div className="card flush">
        <div className="filters">
          <label htmlFor="status" className="soft small">
            Status
          </label>
          <select
            id="status"
            value={status}
            onChange={(event) => setQuery({ status: event.target.value, page: "" })}
          >
            <option value="">All</option>
            {STATUSES.map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
          <form
            key={appName}
            role="search"
            className="row grow"
            onSubmit={(event) => {
              event.preventDefault();
              const name = textOf(new FormData(event.currentTarget), "name").trim();
              setQuery({ name, page: "" });
            }}
          >
            <input
              name="name"
              type="search"
              aria-label="Find by name"
              placeholder="Find by its whole name"
              defaultValue={appName}
              spellCheck={false}
              autoCapitalize="none"
            />
            <Button type="submit" look="secondary" small>
              Find
            </Button>
          </form>
        </div>
        <Paged
          of={list}
          rows={(data) => data.deployments}
          empty={
            appName ? (
              <Empty title={`Nothing is called ${appName}`}>
                <p>A deployment is found by its whole name, in this team only.</p>
                <Button look="secondary" onClick={() => setQuery({ name: "", page: "" })}>
                  Show all
                </Button>
              </Empty>
            ) : status ? (
              <Empty title={`Nothing is ${status}`}>
                <p>Choose another status to see the others.</p>
              </Empty>
            ) : (
              <Empty title="Nothing runs here yet">
                <p>
                  Deploy the sample from the catalogue to see how it goes, any image from a
                  registry, or a folder of your own code.
                </p>
                {mayWrite(team) && <LinkButton to="/deployments/new">Deploy something</LinkButton>}
              </Empty>
            )
          }
        >
          {(deployments) => (
            <Table
              caption="Deployments"
              columns={COLUMNS}
              rows={deployments}
              keyOf={(one) => one.id}
            />
          )}
        </Paged>
      </div>
    </Page>
  );
}
