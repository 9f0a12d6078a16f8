import { useState } from "react";
import { api, ok, type Schema } from "../../api/client";
import { useAction } from "../../api/useAction";
import { useLoad } from "../../api/useLoad";
import { Badge } from "../../components/Badge";
import { Button } from "../../components/Button";
import { Copy } from "../../components/Copy";
import { Confirm } from "../../components/Dialog";
import { Field, textOf } from "../../components/Field";
import { Form } from "../../components/Form";
import { Moment } from "../../components/Moment";
import { Empty, FailureNotice, Notice } from "../../components/Notice";
import { Paged, usePageNumber } from "../../components/Paged";
import { Table, type Column } from "../../components/Table";
import { tell } from "../../components/Toasts";
import { mayWrite, useTeams } from "../../session/teams";
import type { TabProps } from "./DeploymentPage";
import { MoveDomain } from "./MoveDomain";

export type Domain = Schema["DomainOut"];
type DnsRecord = Schema["DnsRecordOut"];

const RECORD_COLUMNS: ReadonlyArray<Column<DnsRecord>> = [
  { name: "Type", cell: (record) => <strong>{record.type}</strong> },
  { name: "Name", cell: (record) => <Copied text={record.name} what={`${record.type} name`} /> },
  {
    name: "Value",
    cell: (record) => <Copied text={record.value} what={`${record.type} value`} />,
  },
  {
    name: "For",
    cell: (record) => (
      <span className="soft small">
        {record.purpose}
        {!record.required && ", where a CNAME cannot be"}
      </span>
    ),
  },
];

/** Names of one's own, and the records that DNS has to have for them. */
export function DomainsTab({ deployment, news }: TabProps) {
  const { teams } = useTeams();
  const page = usePageNumber();
  const path = { deployment_id: deployment.id };
  const list = useLoad(
    `domains ${deployment.id} ${page} ${news}`,
    (signal) =>
      ok(
        api.GET("/v1/deployments/{deployment_id}/domains", {
          params: { path, query: { page, limit: 20 } },
          signal,
        }),
      ),
    10,
  );
  const add = useAction(async (form: FormData) => {
    const body = { domain: textOf(form, "domain").trim() };
    await ok(api.POST("/v1/deployments/{deployment_id}/domains", { params: { path }, body }));
    list.reload();
  });
  const team = teams.find((one) => one.id === deployment.teamId);
  const writes = team !== undefined && mayWrite(team);
  return (
    <div className="stack wide">
      {writes && (
        <section className="card narrow" aria-label="Add a domain">
          <h2>Add a domain</h2>
          <Form
            action={add}
            emptied
            buttons={
              <Button type="submit" busy={add.busy}>
                Add
              </Button>
            }
          >
            <Field
              label="Domain"
              name="domain"
              required
              placeholder="api.example.com"
              spellCheck={false}
              autoCapitalize="none"
              hint="A name you can make DNS records for. Which ones is shown next."
              failure={add.failure}
            />
          </Form>
        </section>
      )}
      <Paged
        of={list}
        rows={(data) => data.domains}
        empty={
          <section className="card">
            <Empty title="No domains">
              <p>
                It answers at {deployment.url}. Under a name of your own callers need not know where
                it runs.
              </p>
            </Empty>
          </section>
        }
      >
        {(domains) =>
          domains.map((domain) => (
            <OneDomain
              key={domain.id}
              domain={domain}
              teamId={deployment.teamId}
              writes={writes}
              changed={list.reload}
            />
          ))
        }
      </Paged>
    </div>
  );
}

function OneDomain({
  domain,
  teamId,
  writes,
  changed,
}: {
  domain: Domain;
  teamId: string;
  writes: boolean;
  changed: () => void;
}) {
  const [removing, setRemoving] = useState(false);
  const [moving, setMoving] = useState(false);
  const params = { path: { deployment_id: domain.deploymentId, domain_id: domain.id } };
  const verify = useAction(async () => {
    const route = "/v1/deployments/{deployment_id}/domains/{domain_id}/verify";
    tell((await ok(api.POST(route, { params }))).message);
    changed();
  });
  return (
    <section className="card" aria-label={domain.domain}>
      <div className="row between">
        <div className="row">
          <h2 className="wrap">{domain.domain}</h2>
          <Badge status={domain.status} />
        </div>
        {writes && (
          <div className="row">
            <Button look="secondary" small busy={verify.busy} onClick={() => void verify.run()}>
              Check now
            </Button>
            <Button look="secondary" small onClick={() => setMoving(true)}>
              Move
            </Button>
            <Button look="danger" small onClick={() => setRemoving(true)}>
              Remove
            </Button>
          </div>
        )}
      </div>
      <FailureNotice failure={verify.failure} />
      {domain.problems.length > 0 && (
        <Notice tone="warn">
          {domain.problems.map((problem) => (
            <span key={`${problem.code} ${problem.type} ${problem.name}`}>{problem.message}</span>
          ))}
        </Notice>
      )}
      {domain.verifiedAt === null && <p className="soft">Make these records where your DNS is:</p>}
      <Table
        caption="DNS records"
        columns={RECORD_COLUMNS}
        rows={domain.dnsRecords}
        keyOf={(record) => `${record.type} ${record.name} ${record.value}`}
      />
      <p className="soft small">
        Last looked at <Moment at={domain.lastCheckedAt} />
        {domain.nextCheckAt && (
          <>
            , next <Moment at={domain.nextCheckAt} />
          </>
        )}
        .
        {domain.routedUntil && (
          <>
            {" "}
            Its records are gone: it ends <Moment at={domain.routedUntil} /> unless they come back.
          </>
        )}
      </p>
      {moving && (
        <MoveDomain
          domain={domain}
          teamId={teamId}
          close={() => setMoving(false)}
          changed={changed}
        />
      )}
      {removing && (
        <Confirm
          title={`Remove ${domain.domain}?`}
          verb="Remove"
          typed={domain.domain}
          close={() => setRemoving(false)}
          act={async () => {
            const route = "/v1/deployments/{deployment_id}/domains/{domain_id}";
            tell((await ok(api.DELETE(route, { params }))).message);
            changed();
          }}
        >
          <p>Nothing answers under it any more.</p>
        </Confirm>
      )}
    </section>
  );
}

function Copied({ text, what }: { text: string; what: string }) {
  return (
    <span className="row fixed">
      <code className="wrap">{text}</code>
      <Copy text={text} what={what} small />
    </span>
  );
}
