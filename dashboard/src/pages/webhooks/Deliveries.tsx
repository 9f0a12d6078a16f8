import { useState } from "react";
import { api, ok, type Schema } from "../../api/client";
import { useAction } from "../../api/useAction";
import { useLoad } from "../../api/useLoad";
import { Badge, Tag } from "../../components/Badge";
import { Button } from "../../components/Button";
import { Code } from "../../components/Copy";
import { Dialog } from "../../components/Dialog";
import { Moment } from "../../components/Moment";
import { Empty, FailureNotice } from "../../components/Notice";
import { Paged, usePageNumber } from "../../components/Paged";
import { Show } from "../../components/Show";
import { Table, type Column } from "../../components/Table";
import { Choices } from "../../components/Tabs";
import { setQuery, useQuery } from "../../routing/router";
import type { Webhook } from "./WebhooksPage";

type Delivery = Schema["DeliveryOut"];

const STATES = [
  { value: "", name: "All" },
  { value: "delivered", name: "Taken" },
  { value: "pending", name: "Waiting" },
  { value: "failed", name: "Given up" },
] as const;

/** What a webhook was told, newest first. */
export function Deliveries({ webhook, round }: { webhook: Webhook; round: number }) {
  const query = useQuery();
  const page = usePageNumber();
  const asked = query.get("status") ?? "";
  const status = STATES.find((one) => one.value === asked)?.value ?? "";
  const [shown, setShown] = useState<string>();
  const list = useLoad(
    `deliveries ${webhook.id} ${page} ${status} ${round}`,
    (signal) =>
      ok(
        api.GET("/v1/webhooks/{webhook_id}/deliveries", {
          params: {
            path: { webhook_id: webhook.id },
            query: { page, limit: 20, status: status || undefined },
          },
          signal,
        }),
      ),
    3,
  );
  const columns: ReadonlyArray<Column<Delivery>> = [
    {
      name: "What",
      cell: (delivery) => (
        <span className="stack none">
          <span className="main mono wrap">{delivery.eventType}</span>
          <span className="soft mono small">{delivery.id}</span>
        </span>
      ),
    },
    {
      name: "State",
      cell: (delivery) => (
        <span className="stack none">
          <Standing delivery={delivery} />
          {delivery.problem && <span className="soft small wrap">{delivery.problem}</span>}
        </span>
      ),
    },
    { name: "Tries", right: true, cell: (delivery) => delivery.attempts },
    { name: "When", cell: (delivery) => <Moment at={delivery.createdAt} /> },
    {
      name: "Look at it",
      actions: true,
      cell: (delivery) => (
        <Button
          look="secondary"
          small
          onClick={() => setShown(delivery.id)}
          aria-label={`Look at ${delivery.id}`}
        >
          Look
        </Button>
      ),
    },
  ];
  return (
    <section className="stack" aria-labelledby="deliveries">
      <div className="row between">
        <h2 id="deliveries">What it was told</h2>
        <Choices
          label="Which messages"
          values={STATES}
          value={status}
          choose={(next) => setQuery({ status: next, page: "" })}
        />
      </div>
      <div className="card flush">
        <Paged
          of={list}
          rows={(data) => data.deliveries}
          empty={
            <Empty title="Nothing yet">
              <p>Send a test, or wait for something to happen.</p>
            </Empty>
          }
        >
          {(deliveries) => (
            <Table
              caption="Messages"
              columns={columns}
              rows={deliveries}
              keyOf={(delivery) => delivery.id}
            />
          )}
        </Paged>
      </div>
      {shown && (
        <DeliveryDialog
          id={shown}
          may={webhook.enabled}
          close={() => {
            setShown(undefined);
            list.reload();
          }}
        />
      )}
    </section>
  );
}

function Standing({ delivery }: { delivery: Delivery }) {
  if (delivery.status === "delivered") return <Tag tone="good">taken</Tag>;
  if (delivery.status === "failed") return <Tag tone="bad">given up</Tag>;
  if (delivery.attempts === 0) return <Badge status="pending" />;
  return (
    <span className="row">
      <Tag tone="warn">waiting</Tag>
      <span className="soft small">
        again <Moment at={delivery.nextAttemptAt} />
      </span>
    </span>
  );
}

/** One message: exactly what is sent, and every answer, shown as text whatever it is. */
function DeliveryDialog({ id, may, close }: { id: string; may: boolean; close: () => void }) {
  const params = { path: { delivery_id: id } };
  const loaded = useLoad(
    `delivery ${id}`,
    (signal) => ok(api.GET("/v1/webhooks/deliveries/{delivery_id}", { params, signal })),
    3,
  );
  const retry = useAction(async () => {
    await ok(api.POST("/v1/webhooks/deliveries/{delivery_id}/retry", { params }));
    loaded.reload();
  });
  return (
    <Dialog title={`Message ${id}`} close={close}>
      <div className="stack">
        <FailureNotice failure={retry.failure} />
        <Show of={loaded}>
          {(delivery) => (
            <>
              <Standing delivery={delivery} />
              <h3>Sent</h3>
              <Code text={indented(delivery.requestBody)} label="what is sent" />
              <h3>Answered</h3>
              {delivery.attemptLog.length === 0 && <p className="soft">Not yet.</p>}
              {delivery.attemptLog.map((attempt) => (
                <div className="stack tight" key={attempt.number}>
                  <span className="row">
                    <Tag tone={attempt.problem ? "bad" : "good"}>
                      {attempt.responseStatus ?? "no answer"}
                    </Tag>
                    <span className="soft small">
                      <Moment at={attempt.at} />, after {attempt.durationMs} ms
                    </span>
                  </span>
                  {attempt.problem && <span className="small wrap">{attempt.problem}</span>}
                  {attempt.responseBody && (
                    <Code text={attempt.responseBody} label={`answer ${attempt.number}`} />
                  )}
                </div>
              ))}
            </>
          )}
        </Show>
        <div className="row end">
          <Button
            look="secondary"
            busy={retry.busy}
            disabled={!may}
            onClick={() => void retry.run()}
          >
            Send it again
          </Button>
          <Button onClick={close}>Close</Button>
        </div>
      </div>
    </Dialog>
  );
}

function indented(body: string): string {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}
