import { useEffect, useState, type ReactNode } from "react";
import { api, ok, randomName, type Schema } from "../../api/client";
import { useAction } from "../../api/useAction";
import { useLoad } from "../../api/useLoad";
import { Badge } from "../../components/Badge";
import { Button } from "../../components/Button";
import { Chart } from "../../components/Chart";
import { Code } from "../../components/Copy";
import { count } from "../../components/numbers";
import { FailureNotice, Notice } from "../../components/Notice";
import { useTeams } from "../../session/teams";
import { CallIt } from "../deployments/CallIt";

const SAMPLE = "tallyport/echo";
const LOOK_SECONDS = 5;
const KEPT = "tallyport-first-steps-over";

/** The key made here, for as long as the page is open: the API shows it once. */
let freshKey: { teamId: string; secret: string } | undefined;

/** From nothing to a call that is counted, without reading anything. */
export function FirstSteps({
  deployment,
  keys,
  called,
  reload,
}: {
  deployment?: Schema["Summary"];
  keys: number;
  called: boolean;
  reload: () => void;
}) {
  const { team } = useTeams();
  const [over, setOver] = useState(() => localStorage.getItem(KEPT) === team.id);
  const [began] = useState(() => !(deployment && keys > 0 && called));
  const [tried, setTried] = useState(false);
  const waiting = began && !over && keys > 0 && !called;
  useEffect(() => {
    if (!waiting) return;
    const timer = setInterval(reload, LOOK_SECONDS * 1000); // the call may come from anywhere
    return () => clearInterval(timer);
  }, [waiting, reload]);
  if (over || !began) return null;
  const secret = freshKey?.teamId === team.id ? freshKey.secret : undefined;
  const runs = deployment?.status === "running";
  const step = !deployment || !runs ? 1 : keys === 0 ? 2 : called ? 5 : tried ? 4 : 3;
  return (
    <section className="stack" aria-label="First steps">
      <div className="row between">
        <h2>{called ? "That was all" : "Your first API, in four steps"}</h2>
        <Button
          look="quiet"
          small
          onClick={() => {
            localStorage.setItem(KEPT, team.id);
            setOver(true);
          }}
        >
          {called ? "Done" : "I know my way"}
        </Button>
      </div>
      <ol className="steps">
        <Step number={1} now={step} title="Deploy the sample">
          <DeployStep deployment={deployment} reload={reload} />
        </Step>
        <Step number={2} now={step} title="Make a key">
          <KeyStep secret={secret} keys={keys} reload={reload} />
        </Step>
        <Step number={3} now={step} title="Call it">
          {deployment && (
            <CallStep deployment={deployment} secret={secret} called={() => setTried(true)} />
          )}
        </Step>
        <Step number={4} now={step} title="Watch it being counted">
          {deployment && <ChartStep deployment={deployment} />}
        </Step>
      </ol>
    </section>
  );
}

function Step({
  number,
  now,
  title,
  children,
}: {
  number: number;
  now: number;
  title: string;
  children: ReactNode;
}) {
  const state = number < now ? "done" : number === now ? "now" : "later";
  return (
    <li className={state} aria-current={state === "now" ? "step" : undefined}>
      <span className="mark" aria-hidden>
        {state === "done" ? "✓" : number}
      </span>
      <div>
        <h2>
          {title}
          {state === "done" && <span className="visually-hidden"> (done)</span>}
        </h2>
        {state !== "later" && children}
      </div>
    </li>
  );
}

function DeployStep({
  deployment,
  reload,
}: {
  deployment?: Schema["Summary"];
  reload: () => void;
}) {
  const { team } = useTeams();
  const deploy = useAction(async () => {
    const { images } = await ok(api.GET("/v1/images"));
    const sample = images.find((one) => one.image === SAMPLE) ?? images[0];
    if (!sample) return;
    await ok(
      api.POST("/v1/deployments", {
        body: {
          appName: `hello-${randomName().slice(0, 5)}`,
          image: sample.image,
          port: sample.port,
          teamId: team.id,
          healthCheck: { path: sample.healthPath, periodSeconds: 1, failureThreshold: 10 },
        },
      }),
    );
    reload();
  });
  if (deployment) {
    return (
      <p className="row" role="status">
        <Badge status={deployment.status} />
        <span>
          <strong>{deployment.appName}</strong>{" "}
          {deployment.status === "running" ? `answers at ${deployment.url}` : "is on its way …"}
        </span>
      </p>
    );
  }
  return (
    <>
      <p className="soft">
        A small API that answers with what it was asked. It starts in a few seconds, under a URL of
        its own.
      </p>
      <FailureNotice failure={deploy.failure} />
      <div>
        <Button busy={deploy.busy} onClick={() => void deploy.run()}>
          Deploy the sample
        </Button>
      </div>
    </>
  );
}

function KeyStep({ secret, keys, reload }: { secret?: string; keys: number; reload: () => void }) {
  const { team } = useTeams();
  const make = useAction(async () => {
    const body: Schema["NewKey"] = { name: "first key", scopes: ["call:*"], teamId: team.id };
    const made = await ok(api.POST("/v1/api-keys", { body }));
    freshKey = { teamId: team.id, secret: made.apiKey };
    reload();
  });
  if (secret) {
    return (
      <>
        <Notice tone="warn">
          Copy it now: it is never shown again, and nobody can look it up.
        </Notice>
        <Code text={secret} label="the key" />
      </>
    );
  }
  if (keys > 0) return <p className="soft">There is one.</p>;
  return (
    <>
      <p className="soft">It says who calls. Every call is let in, limited and counted by it.</p>
      <FailureNotice failure={make.failure} />
      <div>
        <Button busy={make.busy} onClick={() => void make.run()}>
          Make a key
        </Button>
      </div>
    </>
  );
}

function CallStep({
  deployment,
  secret,
  called,
}: {
  deployment: Schema["Summary"];
  secret?: string;
  called: () => void;
}) {
  const params = { path: { deployment_id: deployment.id } };
  const whole = useLoad(`deployment ${deployment.id}`, (signal) =>
    ok(api.GET("/v1/deployments/{deployment_id}", { params, signal })),
  );
  return whole.data ? <CallIt deployment={whole.data} given={secret} called={called} /> : null;
}

function ChartStep({ deployment }: { deployment: Schema["Summary"] }) {
  const params = {
    path: { deployment_id: deployment.id },
    query: { resolution: "1m" as const, from: new Date(Date.now() - 900_000).toISOString() },
  };
  const metrics = useLoad(
    `first chart ${deployment.id}`,
    (signal) => ok(api.GET("/v1/deployments/{deployment_id}/metrics", { params, signal })),
    3,
  );
  if (!metrics.data) return <FailureNotice failure={metrics.failure} />;
  const { metrics: series, from, to } = metrics.data;
  const total = series.requests.reduce((sum, point) => sum + (point.value ?? 0), 0);
  return (
    <>
      <Chart
        title="Requests per minute"
        from={from}
        to={to}
        format={count}
        series={[{ name: "requests", points: series.requests }]}
      />
      <p className="soft small" role="status">
        {count(total)} counted, each of them once. Call it again and look.
      </p>
    </>
  );
}
