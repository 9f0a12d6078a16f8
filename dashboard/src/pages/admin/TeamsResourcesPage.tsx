import { useState } from "react";
import { api, ok, type Schema } from "../../api/client";
import { useAction } from "../../api/useAction";
import { useLoad } from "../../api/useLoad";
import { Tag } from "../../components/Badge";
import { Button } from "../../components/Button";
import { Dialog, DialogButtons } from "../../components/Dialog";
import { Field, textOf } from "../../components/Field";
import { Form } from "../../components/Form";
import { Empty } from "../../components/Notice";
import { cores, count, memory } from "../../components/numbers";
import { Paged, usePageNumber } from "../../components/Paged";
import { Table, type Column } from "../../components/Table";
import { tell } from "../../components/Toasts";
import { Page } from "../../layout/Page";
import { setQuery, useQuery } from "../../routing/router";

type Team = Schema["TeamResources"];

/** What each team takes of the platform, and how much it may. */
export function TeamsResourcesPage() {
  const query = useQuery();
  const page = usePageNumber();
  const search = query.get("search") ?? "";
  const [setting, setSetting] = useState<Team>();
  const list = useLoad(`resources ${page} ${search}`, (signal) =>
    ok(
      api.GET("/v1/admin/teams", {
        params: { query: { page, limit: 50, search: search || undefined } },
        signal,
      }),
    ),
  );
  const columns: ReadonlyArray<Column<Team>> = [
    {
      name: "Team",
      cell: (team) => (
        <span className="stack none">
          <span className="row">
            <span className="main wrap">{team.name}</span>
            {team.personal && <Tag>personal</Tag>}
          </span>
          <span className="soft small wrap">
            {team.owner ?? "nobody"}, {count(team.members)} in it
          </span>
        </span>
      ),
    },
    { name: "Deployments", right: true, cell: ({ deployments }) => <Used {...deployments} /> },
    { name: "Replicas", right: true, cell: ({ replicas }) => <Used {...replicas} /> },
    {
      name: "Cores",
      right: true,
      cell: ({ cpu }) => <Used used={cores(cpu.used)} limit={cores(cpu.limit)} own={cpu.own} />,
    },
    {
      name: "Memory",
      right: true,
      cell: (team) => (
        <Used
          used={memory(team.memory.used)}
          limit={memory(team.memory.limit)}
          own={team.memory.own}
        />
      ),
    },
    { name: "Requests this month", right: true, cell: (team) => count(team.requestsThisMonth) },
    {
      name: "Actions",
      actions: true,
      cell: (team) => (
        <Button
          look="secondary"
          small
          aria-label={`Set the quota of ${team.name} (${team.owner ?? "nobody"})`}
          onClick={() => setSetting(team)}
        >
          Quota
        </Button>
      ),
    },
  ];
  return (
    <Page title="Teams and quotas" lead="What each team runs, and how much it may run at once.">
      <div className="card flush">
        <form
          className="filters"
          key={search}
          role="search"
          onSubmit={(event) => {
            event.preventDefault();
            const form = new FormData(event.currentTarget);
            setQuery({ search: textOf(form, "search").trim(), page: "" });
          }}
        >
          <input
            name="search"
            type="search"
            aria-label="Search teams"
            placeholder="Name of a team or its owner"
            defaultValue={search}
          />
          <Button type="submit" look="secondary" small>
            Search
          </Button>
        </form>
        <Paged
          of={list}
          rows={(data) => data.teams}
          empty={
            <Empty title="No team is called that">
              <p>Part of its name, or of its owner's, is enough.</p>
            </Empty>
          }
        >
          {(teams) => (
            <Table caption="Teams" columns={columns} rows={teams} keyOf={(team) => team.teamId} />
          )}
        </Paged>
      </div>
      {setting && (
        <QuotaDialog
          team={setting}
          close={() => setSetting(undefined)}
          done={() => {
            setSetting(undefined);
            list.reload();
          }}
        />
      )}
    </Page>
  );
}

function Used({
  used,
  limit,
  own,
}: {
  used: string | number;
  limit: string | number;
  own: boolean;
}) {
  return (
    <span className="number">
      {used} of {limit}
      {own && <span title="This team's own limit"> *</span>}
    </span>
  );
}

function QuotaDialog({ team, close, done }: { team: Team; close: () => void; done: () => void }) {
  const save = useAction(async (form: FormData) => {
    const number = (name: string) => {
      const text = textOf(form, name);
      return text ? Number(text) : undefined;
    };
    const body = {
      deployments: number("deployments"),
      replicas: number("replicas"),
      cpu: textOf(form, "cpu").trim() || undefined,
      memory: textOf(form, "memory").trim() || undefined,
    };
    const params = { path: { team_id: team.teamId } };
    await ok(api.PUT("/v1/admin/teams/{team_id}/quota", { params, body }));
    tell("The quota is set");
    done();
  });
  const { deployments, replicas, cpu, memory: size } = team;
  return (
    <Dialog title={`Quota of ${team.name}`} close={close}>
      <p className="soft">
        What is left empty is as for every team. What runs already goes on, also above its limit.
      </p>
      <Form action={save} buttons={<DialogButtons verb="Save" busy={save.busy} close={close} />}>
        <Field
          label="Deployments"
          name="deployments"
          type="number"
          min={0}
          placeholder={String(deployments.limit)}
          defaultValue={deployments.own ? deployments.limit : undefined}
          failure={save.failure}
        />
        <Field
          label="Replicas"
          name="replicas"
          type="number"
          min={0}
          placeholder={String(replicas.limit)}
          defaultValue={replicas.own ? replicas.limit : undefined}
          failure={save.failure}
        />
        <Field
          label="Processor"
          name="cpu"
          placeholder={cpu.limit}
          defaultValue={cpu.own ? cpu.limit : undefined}
          hint="2000m are two cores."
          failure={save.failure}
        />
        <Field
          label="Memory"
          name="memory"
          placeholder={size.limit}
          defaultValue={size.own ? size.limit : undefined}
          hint="For example 4Gi."
          failure={save.failure}
        />
      </Form>
    </Dialog>
  );
}
