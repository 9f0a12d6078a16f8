import { api, ok, type Schema } from "../../api/client";
import { useAction } from "../../api/useAction";
import { useLoad } from "../../api/useLoad";
import { Tag } from "../../components/Badge";
import { Button } from "../../components/Button";
import { Moment } from "../../components/Moment";
import { FailureNotice } from "../../components/Notice";
import { Show } from "../../components/Show";
import { Table, type Column } from "../../components/Table";
import { tell } from "../../components/Toasts";
import { programOf } from "./programs";

type Shown = Schema["SessionShown"];

/** Where one is signed in. */
export function SessionsTab() {
  const list = useLoad("sessions", (signal) =>
    ok(api.GET("/v1/user/sessions", { params: { query: { limit: 100 } }, signal })),
  );
  const end = useAction(async (id?: string) => {
    const answer =
      id === undefined
        ? await ok(api.DELETE("/v1/user/sessions"))
        : await ok(
            api.DELETE("/v1/user/sessions/{session_id}", { params: { path: { session_id: id } } }),
          );
    tell(answer.message);
    list.reload();
  });
  const columns: ReadonlyArray<Column<Shown>> = [
    {
      name: "Where",
      cell: (one) => (
        <span className="stack none">
          <span className="main wrap" title={one.userAgent ?? undefined}>
            {programOf(one.userAgent)}
          </span>
          <span className="soft small">{one.address ?? "unknown address"}</span>
        </span>
      ),
    },
    { name: "Signed in", cell: (one) => <Moment at={one.createdAt} /> },
    { name: "Last used", cell: (one) => <Moment at={one.lastUsedAt} /> },
    {
      name: "Actions",
      actions: true,
      cell: (one) =>
        one.current ? (
          <Tag tone="good">this one</Tag>
        ) : (
          <Button look="secondary" small busy={end.busy} onClick={() => void end.run(one.id)}>
            Sign out
          </Button>
        ),
    },
  ];
  return (
    <section className="card flush" aria-label="Sessions">
      <FailureNotice failure={end.failure} />
      <Show of={list}>
        {({ sessions }) => (
          <>
            <Table caption="Sessions" columns={columns} rows={sessions} keyOf={(one) => one.id} />
            {sessions.length > 1 && (
              <div className="pager">
                <Button look="secondary" small busy={end.busy} onClick={() => void end.run()}>
                  Sign out everywhere else
                </Button>
              </div>
            )}
          </>
        )}
      </Show>
    </section>
  );
}
