import { useState, type ReactNode } from "react";
import { api, ok } from "../../api/client";
import { useLive } from "../../api/live";
import { useLoad } from "../../api/useLoad";
import { Badge } from "../../components/Badge";
import { Copy } from "../../components/Copy";
import { LinkButton } from "../../components/Button";
import { FailureNotice, Loading, Notice } from "../../components/Notice";
import { Tabs } from "../../components/Tabs";
import { Page } from "../../layout/Page";
import { Actions } from "./Actions";
import { type Deployment } from "./deployment";
import { DomainsTab } from "./DomainsTab";
import { EnvironmentTab } from "./EnvironmentTab";
import { LogsTab } from "./LogsTab";
import { MetricsTab } from "./MetricsTab";
import { OverviewTab } from "./OverviewTab";
import { PortalTab } from "./PortalTab";
import { RevisionsTab } from "./RevisionsTab";
import { SettingsTab } from "./SettingsTab";

export interface TabProps {
  deployment: Deployment;
  /** Reads it again after a change. */
  changed: () => void;
  /** Grows with every event about the deployment. */
  news: number;
}

const TABS: ReadonlyArray<{ path: string; name: string; tab: (props: TabProps) => ReactNode }> = [
  { path: "", name: "Overview", tab: (props) => <OverviewTab {...props} /> },
  { path: "logs", name: "Logs", tab: (props) => <LogsTab {...props} /> },
  { path: "metrics", name: "Metrics", tab: (props) => <MetricsTab {...props} /> },
  { path: "revisions", name: "Revisions", tab: (props) => <RevisionsTab {...props} /> },
  { path: "environment", name: "Environment", tab: (props) => <EnvironmentTab {...props} /> },
  { path: "domains", name: "Domains", tab: (props) => <DomainsTab {...props} /> },
  { path: "portal", name: "Portal", tab: (props) => <PortalTab {...props} /> },
  { path: "settings", name: "Settings", tab: (props) => <SettingsTab {...props} /> },
];

export function DeploymentPage({ id, tab: wanted = "" }: { id: string; tab?: string }) {
  const [news, setNews] = useState(0);
  const params = { path: { deployment_id: id } };
  const loaded = useLoad(`deployment ${id}`, (signal) =>
    ok(api.GET("/v1/deployments/{deployment_id}", { params, signal })),
  );
  useLive(
    (event) => event.deploymentId === id && event.type !== "deployment.deleted",
    () => {
      setNews((number) => number + 1);
      loaded.reload();
    },
  );

  const deployment = loaded.data;
  const home = `/deployments/${id}`;
  const current = TABS.find((one) => one.path === wanted) ?? TABS[0];
  if (loaded.failure?.status === 404 && !deployment) {
    return (
      <Page
        title="No such deployment"
        lead="It was deleted, or it belongs to a team you are not in."
      >
        <div>
          <LinkButton to="/deployments">All deployments</LinkButton>
        </div>
      </Page>
    );
  }
  return (
    <Page
      title={deployment?.appName ?? "Deployment"}
      lead={deployment && <Where deployment={deployment} />}
      actions={deployment && <Actions deployment={deployment} changed={loaded.reload} />}
    >
      <Tabs
        label="Views of this deployment"
        tabs={TABS.map(({ path, name }) => ({ name, to: path ? `${home}/${path}` : home }))}
        current={current?.path ? `${home}/${current.path}` : home}
      />
      <FailureNotice failure={loaded.failure} retry={loaded.reload} />
      {loaded.loading && <Loading />}
      {deployment?.failure && (
        <Notice tone="bad">
          <strong>It failed.</strong>
          <pre className="reason">{deployment.failure}</pre>
        </Notice>
      )}
      {deployment && current?.tab({ deployment, changed: loaded.reload, news })}
    </Page>
  );
}

function Where({ deployment }: { deployment: Deployment }) {
  return (
    <span className="row">
      <Badge status={deployment.status} />
      <span className="row fixed">
        <a href={deployment.url} target="_blank" rel="noreferrer" className="wrap">
          {deployment.url}
        </a>
        <Copy text={deployment.url} what="the URL" small />
      </span>
    </span>
  );
}
