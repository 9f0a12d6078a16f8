import { useState } from "react";
import { api, ok, type Schema } from "../../api/client";
import { useAction } from "../../api/useAction";
import { Tag } from "../../components/Badge";
import { Button } from "../../components/Button";
import { Confirm } from "../../components/Dialog";
import { Moment } from "../../components/Moment";
import { FailureNotice } from "../../components/Notice";
import { Table, type Column } from "../../components/Table";
import { tell } from "../../components/Toasts";

type Parked = Schema["ParkedShown"];

/** What views could not apply, to be retried once the cause is mended, or done without. */
export function ParkedEvents({
  events,
  changed,
}: {
  events: readonly Parked[];
  changed: () => void;
}) {
  const [discarding, setDiscarding] = useState<Parked>();
  const retry = useAction(async (one: Parked) => {
    const params = { path: { parked_id: one.id } };
    tell((await ok(api.POST("/v1/admin/parked-events/{parked_id}/retry", { params }))).message);
    changed();
  });
  const columns: ReadonlyArray<Column<Parked>> = [
    {
      name: "Event",
      cell: (one) => (
        <span className="stack none">
          <span className="main wrap">{one.type}</span>
          <span className="soft small wrap">
            {one.view}, position {one.position}, {one.streamId}
          </span>
          <span className="wrap">{one.error}</span>
        </span>
      ),
    },
    { name: "Since", cell: (one) => <Moment at={one.parkedAt} /> },
    {
      name: "Actions",
      actions: true,
      cell: (one) =>
        one.askedFor ? (
          <Tag>asked for</Tag>
        ) : (
          one.view !== "analytics" && (
            <span className="row">
              <Button look="secondary" small busy={retry.busy} onClick={() => void retry.run(one)}>
                Retry
              </Button>
              <Button look="secondary" small onClick={() => setDiscarding(one)}>
                Discard
              </Button>
            </span>
          )
        ),
    },
  ];
  return (
    <>
      <FailureNotice failure={retry.failure} />
      <Table caption="Parked events" columns={columns} rows={events} keyOf={(one) => one.id} />
      {discarding && (
        <Confirm
          title="Do without this event?"
          verb="Discard"
          typed={discarding.id}
          close={() => setDiscarding(undefined)}
          act={async () => {
            const params = { path: { parked_id: discarding.id } };
            tell(
              (await ok(api.POST("/v1/admin/parked-events/{parked_id}/discard", { params })))
                .message,
            );
            changed();
          }}
        >
          <p>
            The view {discarding.view} never knows of it, and shows {discarding.streamId} without
            it. The log keeps it; a replay of the view meets it again.
          </p>
        </Confirm>
      )}
    </>
  );
}
