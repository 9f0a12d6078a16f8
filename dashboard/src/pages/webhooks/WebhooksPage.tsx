import { useState } from "react";
import { api, ok, type Schema } from "../../api/client";
import { useLoad } from "../../api/useLoad";
import { Tag } from "../../components/Badge";
import { Button } from "../../components/Button";
import { Moment } from "../../components/Moment";
import { Empty, Notice } from "../../components/Notice";
import { Paged, usePageNumber } from "../../components/Paged";
import { Table, type Column } from "../../components/Table";
import { Page } from "../../layout/Page";
import { Link } from "../../routing/router";
import { mayWrite, useTeams } from "../../session/teams";
import { NewWebhookDialog } from "./NewWebhookDialog";

export type Webhook = Schema["WebhookOut"];

const COLUMNS: ReadonlyArray<Column<Webhook>> = [
  {
    name: "Endpoint",
    cell: (webhook) => (
      <span className="stack none">
        <Link to={`/webhooks/${webhook.id}`} className="main wrap">
          {nameOf(webhook)}
        </Link>
        {webhook.description && <span className="soft small wrap">{hostOf(webhook.url)}</span>}
      </span>
    ),
  },
  { name: "Is told of", cell: (webhook) => <EventTypes types={webhook.eventTypes} /> },
  { name: "State", cell: (webhook) => <State webhook={webhook} /> },
  { name: "Made", cell: (webhook) => <Moment at={webhook.createdAt} /> },
];

/** The servers of the team that are told what happens. */
export function WebhooksPage() {
  const { team } = useTeams();
  const [making, setMaking] = useState(false);
  const page = usePageNumber();
  const may = mayWrite(team);
  const list = useLoad(may ? `webhooks ${team.id} ${page}` : null, (signal) =>
    ok(
      api.GET("/v1/webhooks", {
        params: { query: { page, limit: 25, teamId: team.id } },
        signal,
      }),
    ),
  );
  if (!may) {
    return (
      <Page title="Webhooks" lead="Your own servers, told of what happens.">
        <Notice>Who only looks on does not see where webhooks lead: a URL may hold a token.</Notice>
      </Page>
    );
  }
  const button = <Button onClick={() => setMaking(true)}>New webhook</Button>;
  return (
    <Page
      title="Webhooks"
      lead="Your own servers, told of what happens as it happens: signed, and again until they take it."
      actions={button}
    >
      <div className="card flush">
        <Paged
          of={list}
          rows={(data) => data.webhooks}
          empty={
            <Empty title="Nobody is told yet">
              <p>
                A webhook is a URL of yours that gets a message when a deployment goes live or
                fails, a domain is verified, a key is made. What it misses is kept and sent again.
              </p>
              {button}
            </Empty>
          }
        >
          {(webhooks) => (
            <Table
              caption="Webhooks"
              columns={COLUMNS}
              rows={webhooks}
              keyOf={(webhook) => webhook.id}
            />
          )}
        </Paged>
      </div>
      {making && (
        <NewWebhookDialog
          close={() => {
            setMaking(false);
            list.reload();
          }}
        />
      )}
    </Page>
  );
}

/** Returns what people call it by. */
export function nameOf(webhook: { url: string; description: string | null }): string {
  return webhook.description ?? hostOf(webhook.url);
}

/** Returns where a URL leads, without what may be secret in it. */
export function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : url;
}

const WHY: Record<string, string> = { failing: "took nothing for days", gone: "said it is gone" };

export function State({ webhook }: { webhook: Webhook }) {
  if (webhook.enabled) return <Tag tone="good">enabled</Tag>;
  const why = WHY[webhook.disabledReason ?? ""];
  return (
    <span className="row">
      <Tag tone={why ? "bad" : ""}>disabled</Tag>
      {why && <span className="soft small">{why}</span>}
    </span>
  );
}

export function EventTypes({ types }: { types: readonly string[] }) {
  return (
    <span className="row">
      {types.slice(0, 3).map((type) => (
        <Tag key={type}>{type === "*" ? "everything" : type}</Tag>
      ))}
      {types.length > 3 && <span className="soft small">and {types.length - 3} more</span>}
    </span>
  );
}
