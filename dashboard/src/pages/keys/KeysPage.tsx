import { useState } from "react";
import { api, ok, type Schema } from "../../api/client";
import { useLive } from "../../api/live";
import { useLoad } from "../../api/useLoad";
import { Tag } from "../../components/Badge";
import { Button } from "../../components/Button";
import { Moment } from "../../components/Moment";
import { Empty } from "../../components/Notice";
import { count } from "../../components/numbers";
import { Paged, usePageNumber } from "../../components/Paged";
import { Table, type Column } from "../../components/Table";
import { Page } from "../../layout/Page";
import { Link } from "../../routing/router";
import { mayWrite, useTeams } from "../../session/teams";
import { NewKeyDialog } from "./NewKeyDialog";

type Key = Schema["Key"];

const COLUMNS: ReadonlyArray<Column<Key>> = [
  {
    name: "Name",
    cell: (key) => (
      <span className="stack none">
        <Link to={`/keys/${key.id}`} className="main wrap">
          {key.name}
        </Link>
        <span className="soft mono">{key.prefix}…</span>
      </span>
    ),
  },
  { name: "May", cell: (key) => <Scopes scopes={key.scopes} /> },
  {
    name: "Last used",
    cell: (key) => (key.leakedAt ? <Tag tone="bad">leaked</Tag> : <Moment at={key.lastUsed} />),
  },
  { name: "Requests", right: true, cell: (key) => count(key.requestCount) },
  { name: "Expires", cell: (key) => <Moment at={key.expiresAt} /> },
];

export function KeysPage() {
  const { team } = useTeams();
  const [making, setMaking] = useState(false);
  const page = usePageNumber();
  const list = useLoad(
    `keys ${team.id} ${page}`,
    (signal) =>
      ok(
        api.GET("/v1/api-keys", {
          params: { query: { page, limit: 25, teamId: team.id } },
          signal,
        }),
      ),
    30,
  );
  useLive((event) => event.teamId === team.id && event.keyId !== undefined, list.reload);
  const button = mayWrite(team) && <Button onClick={() => setMaking(true)}>New key</Button>;
  return (
    <Page
      title="API keys"
      lead="What programs call your deployments with, and this platform's API."
      actions={button}
    >
      <div className="card flush">
        <Paged
          of={list}
          rows={(data) => data.apiKeys}
          empty={
            <Empty title="No keys yet">
              <p>
                Every call of a private deployment carries a key. It says who calls, and it is what
                limits and counts.
              </p>
              {button}
            </Empty>
          }
        >
          {(apiKeys) => (
            <Table caption="API keys" columns={COLUMNS} rows={apiKeys} keyOf={(key) => key.id} />
          )}
        </Paged>
      </div>
      {making && (
        <NewKeyDialog
          close={() => {
            setMaking(false);
            list.reload();
          }}
        />
      )}
    </Page>
  );
}

/** What a key may do, in few words. */
export function Scopes({ scopes }: { scopes: readonly string[] }) {
  return (
    <span className="row">
      {scopes.slice(0, 3).map((scope) => (
        <Tag key={scope}>{scope}</Tag>
      ))}
      {scopes.length > 3 && <span className="soft small">and {scopes.length - 3} more</span>}
    </span>
  );
}
