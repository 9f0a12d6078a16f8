import { useState } from "react";
import { api, ok, type Schema } from "../../api/client";
import { useAction } from "../../api/useAction";
import { useLoad } from "../../api/useLoad";
import { Tag } from "../../components/Badge";
import { Button } from "../../components/Button";
import { Confirm, Dialog, DialogButtons } from "../../components/Dialog";
import { Field, Select, textOf } from "../../components/Field";
import { Form } from "../../components/Form";
import { Moment } from "../../components/Moment";
import { Empty } from "../../components/Notice";
import { Show } from "../../components/Show";
import { Table, type Column } from "../../components/Table";
import { tell } from "../../components/Toasts";
import { Page } from "../../layout/Page";

type Announcement = Schema["AnnouncementShown"];
type Maintenance = Schema["MaintenanceShown"];

/** What everybody is told, and when apps do not answer. */
export function NoticesPage() {
  const [making, setMaking] = useState<"announcement" | "maintenance">();
  const [ending, setEnding] = useState<Maintenance>();
  const announcements = useLoad("announcements", (signal) =>
    ok(api.GET("/v1/admin/announcements", { params: { query: { limit: 100 } }, signal })),
  );
  const maintenance = useLoad("maintenance", (signal) =>
    ok(api.GET("/v1/admin/maintenance", { params: { query: { limit: 50 } }, signal })),
  );
  const withdraw = useAction(async (one: Announcement) => {
    const params = { path: { announcement_id: one.id } };
    tell((await ok(api.DELETE("/v1/admin/announcements/{announcement_id}", { params }))).message);
    announcements.reload();
  });
  const told: ReadonlyArray<Column<Announcement>> = [
    {
      name: "Text",
      cell: (one) => (
        <span className="row">
          {one.tone === "warning" && <Tag tone="warn">warning</Tag>}
          <span className="wrap">{one.text}</span>
        </span>
      ),
    },
    { name: "From", cell: (one) => <Moment at={one.startsAt} /> },
    { name: "Until", cell: (one) => <Moment at={one.endsAt} never="it is withdrawn" /> },
    {
      name: "Actions",
      actions: true,
      cell: (one) => (
        <Button look="secondary" small busy={withdraw.busy} onClick={() => void withdraw.run(one)}>
          Withdraw
        </Button>
      ),
    },
  ];
  const planned: ReadonlyArray<Column<Maintenance>> = [
    {
      name: "What",
      cell: (one) => (
        <span className="stack none">
          <span className="row">
            <Tag tone={one.phase === "under way" ? "bad" : ""}>{one.phase}</Tag>
            <span className="main wrap">{one.appName ?? one.deploymentId ?? "All apps"}</span>
          </span>
          <span className="wrap">{one.text}</span>
        </span>
      ),
    },
    { name: "From", cell: (one) => <Moment at={one.startsAt} /> },
    { name: "Until", cell: (one) => <Moment at={one.endsAt} /> },
    {
      name: "Actions",
      actions: true,
      cell: (one) =>
        one.phase !== "over" && (
          <Button look="secondary" small onClick={() => setEnding(one)}>
            {one.phase === "planned" ? "Call off" : "End"}
          </Button>
        ),
    },
  ];
  return (
    <Page
      title="Announcements"
      lead="What everybody is told above every page, and when apps do not answer."
      actions={
        <>
          <Button onClick={() => setMaking("announcement")}>Announce</Button>
          <Button look="secondary" onClick={() => setMaking("maintenance")}>
            Plan maintenance
          </Button>
        </>
      }
    >
      <section className="card flush" aria-label="Announcements">
        <Show of={announcements}>
          {(data) =>
            data.announcements.length > 0 ? (
              <Table
                caption="Announcements"
                columns={told}
                rows={data.announcements}
                keyOf={(one) => one.id}
              />
            ) : (
              <Empty title="Nothing is announced">
                <p>An announcement is a line above every page of everybody.</p>
              </Empty>
            )
          }
        </Show>
      </section>
      <section className="card flush" aria-label="Maintenance">
        <Show of={maintenance}>
          {(data) =>
            data.maintenance.length > 0 ? (
              <Table
                caption="Maintenance"
                columns={planned}
                rows={data.maintenance}
                keyOf={(one) => one.id}
              />
            ) : (
              <Empty title="No maintenance is planned">
                <p>
                  During maintenance the gateway itself answers, with 503 and when to come back, for
                  one app or for all of them. A day before, a line above every page says so.
                </p>
              </Empty>
            )
          }
        </Show>
      </section>
      {making === "announcement" && (
        <AnnounceDialog
          close={() => setMaking(undefined)}
          done={() => {
            setMaking(undefined);
            announcements.reload();
          }}
        />
      )}
      {making === "maintenance" && (
        <MaintenanceDialog
          close={() => setMaking(undefined)}
          done={() => {
            setMaking(undefined);
            maintenance.reload();
          }}
        />
      )}
      {ending && (
        <Confirm
          title={ending.phase === "planned" ? "Call it off?" : "End it now?"}
          verb={ending.phase === "planned" ? "Call off" : "End"}
          close={() => setEnding(undefined)}
          act={async () => {
            const params = { path: { maintenance_id: ending.id } };
            tell(
              (await ok(api.DELETE("/v1/admin/maintenance/{maintenance_id}", { params }))).message,
            );
            maintenance.reload();
          }}
        >
          <p>{ending.text}</p>
          {ending.phase === "under way" && <p>Apps answer again within a second or two.</p>}
        </Confirm>
      )}
    </Page>
  );
}

function AnnounceDialog({ close, done }: { close: () => void; done: () => void }) {
  const announce = useAction(async (form: FormData) => {
    const endsAt = momentOf(form, "endsAt");
    const tone = textOf(form, "tone") === "warning" ? "warning" : "info";
    const body = { text: textOf(form, "text"), tone, ...(endsAt && { endsAt }) } as const;
    tell((await ok(api.POST("/v1/admin/announcements", { body }))).message);
    done();
  });
  return (
    <Dialog title="Tell everybody something" close={close}>
      <Form
        action={announce}
        buttons={<DialogButtons verb="Announce" busy={announce.busy} close={close} />}
      >
        <Field
          label="Text"
          name="text"
          required
          autoFocus
          maxLength={300}
          failure={announce.failure}
        />
        <Select label="How much it matters" name="tone">
          <option value="info">To know</option>
          <option value="warning">A warning</option>
        </Select>
        <Field
          label="Until"
          name="endsAt"
          type="datetime-local"
          hint="Left empty: until it is withdrawn."
          failure={announce.failure}
        />
      </Form>
    </Dialog>
  );
}

function MaintenanceDialog({ close, done }: { close: () => void; done: () => void }) {
  const plan = useAction(async (form: FormData) => {
    const startsAt = momentOf(form, "startsAt");
    const deploymentId = textOf(form, "deploymentId").trim();
    const body = {
      text: textOf(form, "text"),
      endsAt: momentOf(form, "endsAt") ?? "",
      ...(startsAt && { startsAt }),
      ...(deploymentId && { deploymentId }),
    };
    tell((await ok(api.POST("/v1/admin/maintenance", { body }))).message);
    done();
  });
  return (
    <Dialog title="Plan maintenance" close={close}>
      <p className="soft">
        From its beginning to its end, apps are answered for by the gateway: 503, and when to come
        back.
      </p>
      <Form action={plan} buttons={<DialogButtons verb="Plan" busy={plan.busy} close={close} />}>
        <Field label="Why" name="text" required autoFocus maxLength={300} failure={plan.failure} />
        <Field
          label="From"
          name="startsAt"
          type="datetime-local"
          hint="Left empty: from now on."
          failure={plan.failure}
        />
        <Field label="Until" name="endsAt" type="datetime-local" required failure={plan.failure} />
        <Field
          label="Only this deployment"
          name="deploymentId"
          placeholder="dpl-…"
          hint="Left empty: every app."
          failure={plan.failure}
        />
      </Form>
    </Dialog>
  );
}

/** Returns a moment of this place as the API has it. */
function momentOf(form: FormData, name: string): string | undefined {
  const text = textOf(form, name);
  return text ? new Date(text).toISOString() : undefined;
}
