import { api, ok } from "../../api/client";
import { useLoad } from "../../api/useLoad";
import { LinkButton } from "../../components/Button";
import { Show } from "../../components/Show";
import { Table } from "../../components/Table";
import { Page } from "../../layout/Page";
import { columnsOf, useNames } from "./AuditPage";

const PAGES: Record<string, string> = { dpl: "/deployments", key: "/keys", org: "/teams" };

/** All that ever happened to one thing. */
export function HistoryPage({ resource }: { resource: string }) {
  const history = useLoad(`history ${resource}`, (signal) =>
    ok(api.GET("/v1/history/{resource}", { params: { path: { resource } }, signal })),
  );
  const names = useNames();
  const section = PAGES[resource.slice(0, 3)];
  return (
    <Page
      title={`History of ${resource}`}
      lead="All that happened to it, the oldest first. What is gone still has its history."
      actions={
        section && (
          <LinkButton to={`${section}/${resource}`} look="secondary">
            As it is now
          </LinkButton>
        )
      }
    >
      <div className="card flush">
        <Show of={history}>
          {({ events }) => (
            <Table
              caption="Events"
              columns={columnsOf(names)}
              rows={events}
              keyOf={(entry) => entry.eventId}
            />
          )}
        </Show>
      </div>
    </Page>
  );
}
