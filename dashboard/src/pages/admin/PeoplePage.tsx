import { useState } from "react";
import { api, ok, type Schema } from "../../api/client";
import { useAction } from "../../api/useAction";
import { useLoad } from "../../api/useLoad";
import { Badge, Tag } from "../../components/Badge";
import { Button } from "../../components/Button";
import { Dialog, DialogButtons } from "../../components/Dialog";
import { Field, textOf } from "../../components/Field";
import { Form } from "../../components/Form";
import { Moment } from "../../components/Moment";
import { Empty, FailureNotice } from "../../components/Notice";
import { Paged, usePageNumber } from "../../components/Paged";
import { Table, type Column } from "../../components/Table";
import { tell } from "../../components/Toasts";
import { Page } from "../../layout/Page";
import { setQuery, useQuery } from "../../routing/router";
import { ActAsDialog, ResetDialog } from "./PersonDialogs";

type Somebody = Schema["PersonShown"];

/** Everybody on this platform, for who looks after it. */
export function PeoplePage() {
  const query = useQuery();
  const page = usePageNumber();
  const search = query.get("search") ?? "";
  const [suspending, setSuspending] = useState<Somebody>();
  const [resetting, setResetting] = useState<Somebody>();
  const [acting, setActing] = useState<Somebody>();
  const list = useLoad(`people ${page} ${search}`, (signal) =>
    ok(
      api.GET("/v1/admin/users", {
        params: { query: { page, limit: 50, search: search || undefined } },
        signal,
      }),
    ),
  );
  const me = useLoad("me", (signal) => ok(api.GET("/v1/user/profile", { signal })));
  const reinstate = useAction(async (person: Somebody) => {
    const params = { path: { user_id: person.id } };
    tell((await ok(api.DELETE("/v1/admin/users/{user_id}/suspension", { params }))).message);
    list.reload();
  });
  const columns: ReadonlyArray<Column<Somebody>> = [
    {
      name: "Person",
      cell: (one) => (
        <span className="stack none">
          <span className="main wrap">{one.username}</span>
          <span className="soft small wrap">{one.email}</span>
        </span>
      ),
    },
    {
      name: "Status",
      cell: (one) => (
        <span className="row">
          <Badge status={one.status} />
          {one.platformAdmin && <Tag>admin</Tag>}
        </span>
      ),
    },
    { name: "Since", cell: (one) => <Moment at={one.createdAt} /> },
    { name: "Last sign-in", cell: (one) => <Moment at={one.lastLogin} /> },
    {
      name: "Actions",
      actions: true,
      cell: (one) =>
        one.status === "suspended" ? (
          <Button
            look="secondary"
            small
            busy={reinstate.busy}
            onClick={() => void reinstate.run(one)}
          >
            Let in again
          </Button>
        ) : (
          <span className="row">
            {!one.platformAdmin && (
              <Button look="secondary" small onClick={() => setActing(one)}>
                Act as
              </Button>
            )}
            <Button look="secondary" small onClick={() => setResetting(one)}>
              Reset password
            </Button>
            {me.data && one.id !== me.data.id && (
              <Button look="secondary" small onClick={() => setSuspending(one)}>
                Suspend
              </Button>
            )}
          </span>
        ),
    },
  ];
  return (
    <Page title="People" lead="Everybody who has an account on this platform.">
      <div className="card flush">
        <form
          className="filters"
          key={search}
          role="search"
          onSubmit={(event) => {
            event.preventDefault();
            setQuery({
              search: textOf(new FormData(event.currentTarget), "search").trim(),
              page: "",
            });
          }}
        >
          <input
            name="search"
            type="search"
            aria-label="Search people"
            placeholder="Name or address"
            defaultValue={search}
          />
          <Button type="submit" look="secondary" small>
            Search
          </Button>
        </form>
        <FailureNotice failure={reinstate.failure} />
        <Paged
          of={list}
          rows={(data) => data.users}
          empty={
            <Empty title="Nobody is called that">
              <p>Part of a name or of an address is enough.</p>
            </Empty>
          }
        >
          {(users) => (
            <Table caption="People" columns={columns} rows={users} keyOf={(one) => one.id} />
          )}
        </Paged>
      </div>
      {resetting && <ResetDialog person={resetting} close={() => setResetting(undefined)} />}
      {acting && <ActAsDialog person={acting} close={() => setActing(undefined)} />}
      {suspending && (
        <SuspendDialog
          person={suspending}
          close={() => setSuspending(undefined)}
          done={() => {
            setSuspending(undefined);
            list.reload();
          }}
        />
      )}
    </Page>
  );
}

function SuspendDialog({
  person,
  close,
  done,
}: {
  person: Somebody;
  close: () => void;
  done: () => void;
}) {
  const suspend = useAction(async (form: FormData) => {
    const params = { path: { user_id: person.id } };
    const body = { reason: textOf(form, "reason").trim() };
    tell((await ok(api.POST("/v1/admin/users/{user_id}/suspension", { params, body }))).message);
    done();
  });
  return (
    <Dialog title={`Suspend ${person.username}?`} close={close}>
      <p className="soft">All their sessions end, and none begins. What they deployed runs on.</p>
      <Form
        action={suspend}
        buttons={<DialogButtons verb="Suspend" busy={suspend.busy} danger close={close} />}
      >
        <Field label="Reason" name="reason" maxLength={200} failure={suspend.failure} />
      </Form>
    </Dialog>
  );
}
