import { useMemo } from "react";
import { api, ok, type Schema } from "../../api/client";
import { useLoad } from "../../api/useLoad";
import { Button } from "../../components/Button";
import { textOf } from "../../components/Field";
import { Moment } from "../../components/Moment";
import { Empty, Notice } from "../../components/Notice";
import { Paged, usePageNumber } from "../../components/Paged";
import { Table, type Column } from "../../components/Table";
import { Page } from "../../layout/Page";
import { Link, setQuery, useQuery } from "../../routing/router";
import { useTeams } from "../../session/teams";

export type Entry = Schema["Entry"];

const SHOWN_OF_ID = 24;

/** What tables of events show. */
export function columnsOf(names: ReadonlyMap<string, string>): ReadonlyArray<Column<Entry>> {
  return [
    { name: "What", cell: (entry) => <What entry={entry} /> },
    {
      name: "Of what",
      cell: ({ streamId }) => (
        <Link to={`/history/${streamId}`} className="mono" title={streamId}>
          {streamId.length > SHOWN_OF_ID ? `${streamId.slice(0, SHOWN_OF_ID)}…` : streamId}
        </Link>
      ),
    },
    {
      name: "Who",
      cell: (entry) => (
        <span className="stack none">
          <Who id={entry.actor} name={names.get(entry.actor)} />
          {entry.address && <span className="soft small">{entry.address}</span>}
        </span>
      ),
    },
    { name: "When", cell: (entry) => <Moment at={entry.recordedAt} /> },
  ];
}

/** Returns the names of the team's members by their ids; nobody's while they are read. */
export function useNames(): ReadonlyMap<string, string> {
  const { team } = useTeams();
  const members = useLoad(`names of members ${team.id}`, (signal) =>
    ok(
      api.GET("/v1/teams/{team_id}/members", {
        params: { path: { team_id: team.id }, query: { limit: 100 } },
        signal,
      }),
    ),
  );
  return useMemo(
    () => new Map(members.data?.members.map((one) => [one.userId, one.username ?? one.userId])),
    [members.data],
  );
}

function Who({ id, name }: { id: string; name?: string }) {
  if (name) return <span title={id}>{name}</span>;
  if (id.startsWith("key-")) {
    return (
      <Link to={`/keys/${id}`} className="mono">
        {id}
      </Link>
    );
  }
  return <span className="mono wrap">{id}</span>;
}

/** Everything that happened to the team's things. */
export function AuditPage() {
  const { team } = useTeams();
  const query = useQuery();
  const page = usePageNumber();
  const sought = {
    actor: query.get("actor") ?? "",
    type: query.get("type") ?? "",
    streamId: query.get("streamId") ?? "",
  };
  const list = useLoad(`audit ${team.id} ${page} ${JSON.stringify(sought)}`, (signal) =>
    ok(
      api.GET("/v1/audit", {
        params: {
          query: {
            page,
            limit: 50,
            teamId: team.id,
            actor: sought.actor || undefined,
            type: sought.type || undefined,
            streamId: sought.streamId || undefined,
          },
        },
        signal,
      }),
    ),
  );
  const names = useNames();
  const types = [...new Set(list.data?.events.map((entry) => entry.type))].sort();
  const filtered = Object.values(sought).some(Boolean);
  return (
    <Page
      title="Audit"
      lead="Who did what, when and from where. Nothing here can be changed, by anybody."
    >
      <div className="card flush">
        <form
          className="filters"
          key={JSON.stringify(sought)}
          onSubmit={(event) => {
            event.preventDefault();
            const form = new FormData(event.currentTarget);
            setQuery({
              actor: textOf(form, "actor").trim(),
              type: textOf(form, "type").trim(),
              streamId: textOf(form, "streamId").trim(),
              page: "",
            });
          }}
        >
          <input
            name="actor"
            aria-label="Who (an id)"
            placeholder="Who: usr-…"
            list="audit-actors"
            defaultValue={sought.actor}
          />
          <datalist id="audit-actors">
            {[...names].map(([id, name]) => (
              <option key={id} value={id}>
                {name}
              </option>
            ))}
          </datalist>
          <input
            name="type"
            aria-label="What (a type of event)"
            placeholder="What: deployments.…"
            list="audit-types"
            defaultValue={sought.type}
          />
          <datalist id="audit-types">
            {types.map((type) => (
              <option key={type} value={type} />
            ))}
          </datalist>
          <input
            name="streamId"
            aria-label="Of what (an id)"
            placeholder="Of what: dpl-…"
            defaultValue={sought.streamId}
          />
          <Button type="submit" look="secondary" small>
            Filter
          </Button>
          {filtered && (
            <Button
              look="quiet"
              small
              onClick={() => setQuery({ actor: "", type: "", streamId: "", page: "" })}
            >
              Show all
            </Button>
          )}
        </form>
        {list.failure?.status === 403 ? (
          <div className="padded">
            <Notice>Viewers of a team do not see its audit list.</Notice>
          </div>
        ) : (
          <Paged
            of={list}
            rows={(data) => data.events}
            empty={
              <Empty title="Nothing of that kind happened">
                <p>Types are written whole: deployments.DeploymentRequested.</p>
              </Empty>
            }
          >
            {(events) => (
              <Table
                caption="Events"
                columns={columnsOf(names)}
                rows={events}
                keyOf={(entry) => entry.eventId}
              />
            )}
          </Paged>
        )}
      </div>
    </Page>
  );
}

/** An event: its name, and on demand all it says. */
export function What({ entry }: { entry: Entry }) {
  return (
    <details className="event">
      <summary>{wordsOf(entry.type)}</summary>
      <pre>{JSON.stringify(entry.content, null, 2)}</pre>
      <dl className="facts small">
        <dt>Type</dt>
        <dd className="mono">{entry.type}</dd>
        <dt>Position</dt>
        <dd className="mono">{entry.position}</dd>
        <dt>Request</dt>
        <dd className="mono">{entry.correlationId ?? "none"}</dd>
      </dl>
    </details>
  );
}

/** Returns the name of an event as words: “Deployment requested”. */
function wordsOf(type: string): string {
  const name = type.split(".").pop() ?? type;
  const words = name.replace(/([a-z0-9])([A-Z])/g, "$1 $2").toLowerCase();
  return (words.charAt(0).toUpperCase() + words.slice(1)).replace(/\bapi\b/gi, "API");
}
