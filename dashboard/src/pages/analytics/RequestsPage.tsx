import { api, ok, type Schema } from "../../api/client";
import { useLoad } from "../../api/useLoad";
import { Tag } from "../../components/Badge";
import { Button } from "../../components/Button";
import { textOf } from "../../components/Field";
import { exactly } from "../../components/Moment";
import { Empty } from "../../components/Notice";
import { bytes, milliseconds } from "../../components/numbers";
import { RANGES, startOf, type Range } from "../../components/ranges";
import { Paged, usePageNumber } from "../../components/Paged";
import { Table, type Column } from "../../components/Table";
import { Choices } from "../../components/Tabs";
import { Page } from "../../layout/Page";
import { Link, setQuery, useQuery } from "../../routing/router";
import { useTeams } from "../../session/teams";
import { AnalyticsTabs } from "./AnalyticsTabs";

type Served = Schema["RequestOut"];

const COLUMNS: ReadonlyArray<Column<Served>> = [
  {
    name: "Request",
    cell: (one) => (
      <details className="event">
        <summary className="mono wrap">
          {one.method} {one.path}
        </summary>
        <dl className="facts small">
          <dt>Id</dt>
          <dd className="mono">{one.requestId}</dd>
          <dt>Deployment</dt>
          <dd className="mono">
            {one.deploymentId ? (
              <Link to={`/deployments/${one.deploymentId}`}>{one.deploymentId}</Link>
            ) : (
              "none"
            )}
          </dd>
          <dt>Key</dt>
          <dd className="mono">
            {one.keyId ? <Link to={`/keys/${one.keyId}`}>{one.keyId}</Link> : "none"}
          </dd>
          <dt>From</dt>
          <dd>{one.address ?? "not written down"}</dd>
          <dt>Received, sent</dt>
          <dd>
            {bytes(one.bytesIn)}, {bytes(one.bytesOut)}
          </dd>
          <dt>Replica</dt>
          <dd>{one.upstreamMs === null ? "none answered" : milliseconds(one.upstreamMs)}</dd>
          <dt>Billed</dt>
          <dd>{one.billable ? "yes" : "no"}</dd>
        </dl>
      </details>
    ),
  },
  {
    name: "Answer",
    cell: (one) => (
      <span className="row">
        <Tag tone={one.status >= 500 ? "bad" : one.status >= 400 ? "warn" : "good"}>
          {one.status}
        </Tag>
        {one.refused && <span className="soft small">{one.refused}</span>}
      </span>
    ),
  },
  { name: "Took", right: true, cell: (one) => milliseconds(one.totalMs) },
  { name: "When", cell: (one) => <time dateTime={one.time}>{exactly(one.time)}</time> },
];
const ORDERS = [
  { value: "", name: "Newest" },
  { value: "-totalMs", name: "Slowest" },
] as const;
const FILTERS = [
  ["path", "Path begins with", "/orders"],
  ["method", "Method", "GET"],
  ["status", "Answer", "404 or 5xx"],
  ["deploymentId", "Deployment", "dpl-…"],
  ["keyId", "Key", "key-…"],
  ["requestId", "Request id", "X-Request-Id"],
] as const;

/** Single requests, as the gateway wrote them down. */
export function RequestsPage() {
  const { team } = useTeams();
  const query = useQuery();
  const page = usePageNumber();
  const range = (RANGES.find((one) => one.value === query.get("range"))?.value ?? "24h") as Range;
  const sort = ORDERS.find((one) => one.value === query.get("sort"))?.value ?? "";
  const sought = Object.fromEntries(
    FILTERS.map(([name]) => [name, query.get(name) || undefined]),
  ) as Partial<Record<(typeof FILTERS)[number][0], string>>;
  const list = useLoad(
    `requests ${team.id} ${page} ${range} ${sort} ${JSON.stringify(sought)}`,
    (signal) =>
      ok(
        api.GET("/v1/analytics/requests/raw", {
          params: {
            query: {
              ...sought,
              teamId: team.id,
              from: startOf(range),
              sort: sort || undefined,
              page,
              limit: 50,
            },
          },
          signal,
        }),
      ),
    page === 1 ? 15 : undefined,
  );
  return (
    <Page title="Requests" lead="Every request the gateway answered, one by one.">
      <AnalyticsTabs current="/analytics/requests" />
      <div className="card flush">
        <div className="filters">
          <Choices
            label="Time"
            values={RANGES}
            value={range}
            choose={(next) => setQuery({ range: next === "24h" ? "" : next, page: "" })}
          />
          <Choices
            label="Order"
            values={ORDERS}
            value={sort}
            choose={(next) => setQuery({ sort: next, page: "" })}
          />
        </div>
        <form
          className="filters"
          key={JSON.stringify(sought)}
          onSubmit={(event) => {
            event.preventDefault();
            const form = new FormData(event.currentTarget);
            const wanted = Object.fromEntries(
              FILTERS.map(([name]) => [name, textOf(form, name).trim()]),
            );
            setQuery({ ...wanted, method: (wanted.method ?? "").toUpperCase(), page: "" });
          }}
        >
          {FILTERS.map(([name, label, placeholder]) => (
            <input
              key={name}
              name={name}
              aria-label={label}
              placeholder={`${label}: ${placeholder}`}
              spellCheck={false}
              defaultValue={sought[name] ?? ""}
            />
          ))}
          <Button type="submit" look="secondary" small>
            Filter
          </Button>
          {Object.values(sought).some(Boolean) && (
            <Button
              look="quiet"
              small
              onClick={() =>
                setQuery({ ...Object.fromEntries(FILTERS.map(([name]) => [name, ""])), page: "" })
              }
            >
              Show all
            </Button>
          )}
        </form>
        <Paged
          of={list}
          rows={(data) => data.requests}
          empty={
            <Empty title="No such request in this time">
              <p>A request appears here about a second after its answer.</p>
            </Empty>
          }
        >
          {(requests) => (
            <Table
              caption="Requests"
              columns={COLUMNS}
              rows={requests}
              keyOf={(one) => `${one.requestId} ${one.time}`}
            />
          )}
        </Paged>
      </div>
    </Page>
  );
}
