import { useState } from "react";
import { api, ok } from "../../api/client";
import { useLoad } from "../../api/useLoad";
import { Chart } from "../../components/Chart";
import { bytes, count, milliseconds } from "../../components/numbers";
import { Show } from "../../components/Show";
import { Choices } from "../../components/Tabs";
import { RANGES, startOf, type Range } from "../../components/ranges";
import type { TabProps } from "./DeploymentPage";

const RESOLUTION: Record<Range, "1m" | "5m" | "1h"> = {
  "1h": "1m",
  "24h": "5m",
  "7d": "1h",
  "30d": "1h",
};

/** What it uses and how its requests go. */
export function MetricsTab({ deployment }: TabProps) {
  const [range, setRange] = useState<Range>("1h");
  const metrics = useLoad(
    `metrics ${deployment.id} ${range}`,
    (signal) =>
      ok(
        api.GET("/v1/deployments/{deployment_id}/metrics", {
          params: {
            path: { deployment_id: deployment.id },
            query: { from: startOf(range), resolution: RESOLUTION[range] },
          },
          signal,
        }),
      ),
    range === "1h" ? 10 : 60,
  );
  return (
    <div className="stack">
      <Choices label="Time" values={RANGES} value={range} choose={setRange} />
      <Show of={metrics}>
        {({ metrics: all, from, to }) => (
          <div className="columns charts">
            <section className="card">
              <Chart
                title="Requests"
                from={from}
                to={to}
                format={count}
                series={[
                  { name: "all", points: all.requests },
                  { name: "of them failed", points: all.errors },
                ]}
              />
            </section>
            <section className="card">
              <Chart
                title="Time to answer"
                from={from}
                to={to}
                format={milliseconds}
                series={[
                  { name: "half take less", points: all.latencyP50 },
                  { name: "95 % take less", points: all.latencyP95 },
                  { name: "99 % take less", points: all.latencyP99 },
                ]}
              />
            </section>
            <section className="card">
              <Chart
                title="Processor (thousandths of a core)"
                from={from}
                to={to}
                format={count}
                series={[{ name: "used", points: all.cpu }]}
              />
            </section>
            <section className="card">
              <Chart
                title="Memory"
                from={from}
                to={to}
                format={bytes}
                series={[{ name: "held", points: all.memory }]}
              />
            </section>
          </div>
        )}
      </Show>
    </div>
  );
}
