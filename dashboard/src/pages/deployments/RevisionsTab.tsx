import { useState } from "react";
import { api, ok, type Schema } from "../../api/client";
import { useLoad } from "../../api/useLoad";
import { Badge } from "../../components/Badge";
import { Button } from "../../components/Button";
import { Confirm } from "../../components/Dialog";
import { Moment } from "../../components/Moment";
import { Paged, usePageNumber } from "../../components/Paged";
import { Table, type Column } from "../../components/Table";
import { tell } from "../../components/Toasts";
import { shortImage } from "./deployment";
import type { TabProps } from "./DeploymentPage";

type Revision = Schema["RevisionOut"];

const DIGEST_SHOWN = "sha256:".length + 12;

/** Every revision there was, and the way back to one. */
export function RevisionsTab({ deployment, changed, news }: TabProps) {
  const page = usePageNumber();
  const [back, setBack] = useState<Revision>();
  const params = { path: { deployment_id: deployment.id } };
  const list = useLoad(`revisions ${deployment.id} ${page} ${news}`, (signal) =>
    ok(
      api.GET("/v1/deployments/{deployment_id}/revisions", {
        params: { ...params, query: { page, limit: 20 } },
        signal,
      }),
    ),
  );
  const columns: ReadonlyArray<Column<Revision>> = [
    { name: "Revision", cell: (one) => <span className="main">{one.revision}</span> },
    { name: "Status", cell: (one) => <Badge status={one.status} /> },
    {
      name: "What",
      cell: (one) => (
        <span className="stack tight">
          <span>
            {one.cause}
            {one.copiedFrom !== null && ` to ${one.copiedFrom}`},{" "}
            <span className="mono wrap">{shortImage(one.image)}</span>
          </span>
          {one.imageDigest && (
            <span className="soft small mono" title={one.imageDigest}>
              {one.imageDigest.slice(0, DIGEST_SHOWN)}
            </span>
          )}
          {one.failure && <pre className="reason small">{one.failure}</pre>}
        </span>
      ),
    },
    { name: "When", cell: (one) => <Moment at={one.requestedAt} /> },
    {
      name: "Actions",
      actions: true,
      cell: (one) =>
        one.revision !== deployment.revision &&
        one.liveAt !== null && (
          <Button look="secondary" small onClick={() => setBack(one)}>
            Roll back to this
          </Button>
        ),
    },
  ];
  return (
    <section className="card flush" aria-label="Revisions">
      <Paged of={list} rows={(data) => data.revisions} empty={null}>
        {(revisions) => (
          <Table caption="Revisions" columns={columns} rows={revisions} keyOf={(one) => one.id} />
        )}
      </Paged>
      {back && (
        <Confirm
          title={`Roll back to revision ${back.revision}?`}
          verb="Roll back"
          close={() => setBack(undefined)}
          act={async () => {
            const body = { revision: back.revision };
            const answer = await ok(
              api.POST("/v1/deployments/{deployment_id}/rollback", { params, body }),
            );
            tell(answer.message);
            changed();
          }}
        >
          <p>
            A new revision is made like that one. The present one serves until it is ready, so
            nobody notices.
          </p>
        </Confirm>
      )}
    </section>
  );
}
