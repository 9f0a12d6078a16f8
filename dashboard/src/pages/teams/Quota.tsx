import { api, ok } from "../../api/client";
import { useLoad } from "../../api/useLoad";
import { Show } from "../../components/Show";
import { cores, memory as size } from "../../components/numbers";
import { Stat } from "../../components/Stat";

/** How much a team runs, and how much it may. */
export function Quota({ teamId }: { teamId: string }) {
  const quota = useLoad(`quota ${teamId}`, (signal) =>
    ok(api.GET("/v1/teams/{team_id}/quota", { params: { path: { team_id: teamId } }, signal })),
  );
  return (
    <section className="card" aria-label="Quota">
      <Show of={quota}>
        {({ deployments, replicas, cpu, memory }) => (
          <div className="columns stats">
            <Stat name="Deployments" value={`${deployments.used} of ${deployments.limit}`} />
            <Stat name="Replicas" value={`${replicas.used} of ${replicas.limit}`} />
            <Stat name="Processor cores" value={`${cores(cpu.used)} of ${cores(cpu.limit)}`} />
            <Stat name="Memory" value={`${size(memory.used)} of ${size(memory.limit)}`} />
          </div>
        )}
      </Show>
    </section>
  );
}
