import { Fragment } from "react";
import { api, ok, type Schema } from "../../api/client";
import { useLoad } from "../../api/useLoad";
import { LinkButton } from "../../components/Button";
import { Moment } from "../../components/Moment";
import { Empty } from "../../components/Notice";
import { Paged, usePageNumber } from "../../components/Paged";
import { Show } from "../../components/Show";
import { Table, type Column } from "../../components/Table";
import { Page } from "../../layout/Page";
import { Link } from "../../routing/router";

const REFRESH_SECONDS = 5;

const COLUMNS: ReadonlyArray<Column<Schema["MailShown"]>> = [
  {
    name: "Subject",
    cell: (mail) => (
      <Link to={`/admin/mailbox/${mail.id}`} className="main wrap">
        {mail.subject}
      </Link>
    ),
  },
  { name: "To", cell: (mail) => <span className="wrap">{mail.recipient}</span> },
  { name: "Asked for", cell: (mail) => <Moment at={mail.requestedAt} /> },
];

/** The mails that would have been sent, had this platform a mail server. */
export function MailboxPage() {
  const page = usePageNumber();
  const list = useLoad(
    `mailbox ${page}`,
    (signal) =>
      ok(api.GET("/v1/admin/mailbox", { params: { query: { page, limit: 25 } }, signal })),
    REFRESH_SECONDS,
  );
  return (
    <Page
      title="Mailbox"
      lead="No mail server is set, so what this platform writes stays here: pass links on to those they are for."
    >
      <div className="card flush">
        <Paged
          of={list}
          rows={(data) => data.mails}
          empty={
            <Empty title="No mail yet">
              <p>
                Invitations, forgotten passwords and warnings appear here. With{" "}
                <code>TALLYPORT_MAIL_URL</code> they are sent instead, and this page goes away.
              </p>
            </Empty>
          }
        >
          {(mails) => (
            <Table
              caption="Mails, the newest first"
              columns={COLUMNS}
              rows={mails}
              keyOf={(mail) => mail.id}
            />
          )}
        </Paged>
      </div>
    </Page>
  );
}

/** What one mail says. Shown as text: nothing in it is run or fetched. */
export function MailPage({ id }: { id: string }) {
  const mail = useLoad(`mail ${id}`, (signal) =>
    ok(api.GET("/v1/admin/mailbox/{mail_id}", { params: { path: { mail_id: id } }, signal })),
  );
  return (
    <Page
      title={mail.data?.subject ?? "Mail"}
      actions={
        <LinkButton to="/admin/mailbox" look="secondary">
          All mails
        </LinkButton>
      }
    >
      <div className="card narrow">
        <Show of={mail}>
          {({ recipient, requestedAt, text }) => (
            <>
              <dl className="facts">
                <dt>To</dt>
                <dd>{recipient}</dd>
                <dt>Asked for</dt>
                <dd>
                  <Moment at={requestedAt} />
                </dd>
              </dl>
              <div className="letter">
                <WithLinks text={text} />
              </div>
            </>
          )}
        </Show>
      </div>
    </Page>
  );
}

/** A text in which the links to this platform, and no others, can be followed. */
function WithLinks({ text }: { text: string }) {
  return text
    .split(/(https?:\/\/\S+)/)
    .map((part, index) => (
      <Fragment key={index}>
        {index % 2 === 1 && isOurs(part) ? <a href={part}>{part}</a> : part}
      </Fragment>
    ));
}

function isOurs(address: string): boolean {
  return URL.canParse(address) && new URL(address).host === window.location.host;
}
