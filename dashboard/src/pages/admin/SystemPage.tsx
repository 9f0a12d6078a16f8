import { useState } from "react";
import { api, ok, type Schema } from "../../api/client";
import { useLoad } from "../../api/useLoad";
import { Tag } from "../../components/Badge";
import { Button } from "../../components/Button";
import { Confirm } from "../../components/Dialog";
import { Empty } from "../../components/Notice";
import { count } from "../../components/numbers";
import { Paged, usePageNumber } from "../../components/Paged";
import { Show } from "../../components/Show";
import { Table, type Column } from "../../components/Table";
import { tell } from "../../components/Toasts";
import { Page } from "../../layout/Page";
import { AlertTable } from "../alerts/AlertsPage";
import { Rules } from "../alerts/Rules";
import { ParkedEvents } from "./ParkedEvents";

type Part = Schema["PartShown"];
type View = Schema["ViewStanding"];

const EVERY_SECONDS = 10;
const TONES = { up: "good", degraded: "warn", down: "bad", unused: "" } as const;

/** How every part of the platform stands, and what to do where one does not. */
export function SystemPage() {
  const page = usePageNumber();
  const [replaying, setReplaying] = useState<string>();
  const health = useLoad(
    "health",
    (signal) => ok(api.GET("/v1/admin/health", { signal })),
    EVERY_SECONDS,
  );
  const parked = useLoad(
    `parked ${page}`,
    (signal) =>
      ok(api.GET("/v1/admin/parked-events", { params: { query: { page, limit: 20 } }, signal })),
    EVERY_SECONDS,
  );
  const alerts = useLoad(
    "platform alerts",
    (signal) =>
      ok(api.GET("/v1/admin/alerts", { params: { query: { state: "open", limit: 100 } }, signal })),
    EVERY_SECONDS,
  );
  const rules = useLoad("platform rules", (signal) =>
    ok(api.GET("/v1/admin/alerts/rules", { signal })),
  );
  const views: ReadonlyArray<Column<View>> = [
    { name: "View", cell: (view) => <span className="main">{view.name}</span> },
    {
      name: "State",
      cell: (view) => (
        <span className="row">
          <State state={view.state} />
          {view.rebuilding && <Tag>being filled anew</Tag>}
        </span>
      ),
    },
    { name: "Position", right: true, cell: (view) => count(view.position) },
    {
      name: "Behind",
      right: true,
      cell: (view) => (view.behind ? `${count(view.behind)} (${view.lagSeconds} s)` : "0"),
    },
    { name: "Parked", right: true, cell: (view) => count(view.parked) },
    {
      name: "Actions",
      actions: true,
      cell: (view) =>
        view.name !== "analytics" && (
          <Button
            look="secondary"
            small
            aria-label={`Replay ${view.name}`}
            onClick={() => setReplaying(view.name)}
          >
            Replay
          </Button>
        ),
    },
  ];
  return (
    <Page title="System" lead="Every part of this installation, as it stands now.">
      <section className="card flush" aria-label="Parts">
        <Show of={health}>
          {({ parts, workers }) => (
            <Table
              caption="Parts and workers"
              columns={PARTS}
              rows={[...parts, ...workers.map((one) => ({ ...one, detail: "A worker process." }))]}
              keyOf={(part) => `${part.detail} ${part.name}`}
            />
          )}
        </Show>
      </section>
      <section className="card flush stack tight" aria-labelledby="parked">
        <h2 id="parked" className="padded">
          Parked events
        </h2>
        <Paged
          of={parked}
          rows={(data) => data.parkedEvents}
          empty={
            <Empty title="No event is parked">
              <p>Every view could apply everything that happened.</p>
            </Empty>
          }
        >
          {(parkedEvents) => <ParkedEvents events={parkedEvents} changed={() => parked.reload()} />}
        </Paged>
      </section>
      <section className="card flush" aria-label="Views">
        <Show of={health}>
          {(data) => (
            <Table caption="Views" columns={views} rows={data.views} keyOf={(view) => view.name} />
          )}
        </Show>
      </section>
      <section className="card stack" aria-labelledby="alerts">
        <h2 id="alerts">Alerts about the platform</h2>
        <Show of={alerts}>
          {(data) =>
            data.alerts.length > 0 ? (
              <AlertTable alerts={data.alerts} />
            ) : (
              <p className="soft">None is open.</p>
            )
          }
        </Show>
        <Show of={rules}>
          {(data) => (
            <Rules
              rules={data.rules}
              may
              change={(rule, body) =>
                ok(api.PATCH("/v1/admin/alerts/rules/{rule}", { params: { path: { rule } }, body }))
              }
              changed={() => rules.reload()}
            />
          )}
        </Show>
      </section>
      {replaying && (
        <Confirm
          title={`Replay ${replaying}?`}
          verb="Replay"
          close={() => setReplaying(undefined)}
          act={async () => {
            const params = { path: { view: replaying } };
            tell((await ok(api.POST("/v1/admin/views/{view}/replay", { params }))).message);
            health.reload();
          }}
        >
          <p>
            The view is filled anew from the whole log, beside the present one, and then takes its
            place. It is read on meanwhile. A long log takes its time and some load.
          </p>
        </Confirm>
      )}
    </Page>
  );
}

function State({ state }: { state: Part["state"] }) {
  return <Tag tone={TONES[state]}>{state}</Tag>;
}

const PARTS: ReadonlyArray<Column<Part>> = [
  { name: "Part", cell: (part) => <span className="main">{part.name}</span> },
  { name: "State", cell: (part) => <State state={part.state} /> },
  {
    name: "What it says",
    cell: (part) => (
      <span className="stack none">
        <span className="wrap">{part.detail}</span>
        {part.advice && <strong className="wrap">{part.advice}</strong>}
      </span>
    ),
  },
];
