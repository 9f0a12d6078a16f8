import { useMemo, useState, type ReactNode } from "react";
import { api, ok, type Schema } from "../../api/client";
import { useAction } from "../../api/useAction";
import { useLoad } from "../../api/useLoad";
import { Badge, Tag } from "../../components/Badge";
import { Button, LinkButton } from "../../components/Button";
import { Copy } from "../../components/Copy";
import { Field } from "../../components/Field";
import { Moment } from "../../components/Moment";
import { Empty, FailureNotice, Loading } from "../../components/Notice";
import { Show } from "../../components/Show";
import { Choices } from "../../components/Tabs";
import { Title } from "../../layout/Page";
import mark from "../../mark.svg";
import { Link } from "../../routing/router";
import { useSession } from "../../session/session";
import { SignInPage } from "../sign-in/SignInPage";
import { LANGUAGES, type Language } from "./examples";
import { Markdown, SafeLink } from "./Markdown";
import { basePath, nodeOf, operationsOf, textOf, type Node, type Operation } from "./openapi";
import { OperationView, type Reader } from "./OperationView";
import "./portal.css";

type Portal = Schema["PortalPage"];

const STATUS_SECONDS = 30;

/** How one deployment is called, for whoever may read it. */
export default function PortalPage({ name }: { name: string }) {
  const session = useSession();
  const portal = useLoad(
    session.status === "unknown" ? null : `portal ${name} ${session.status}`,
    (signal) => ok(api.GET("/v1/portals/{portal}", { params: { path: { portal: name } }, signal })),
    STATUS_SECONDS,
  );
  if (portal.failure?.status === 401 && !portal.data) {
    return <SignInPage because="This may be a team’s portal. Sign in to read it." />;
  }
  return (
    <div className="portal">
      <header>
        <Link to="/" className="brand">
          <img src={mark} alt="" width={28} height={28} />
          Tallyport
        </Link>
        {session.status === "in" && portal.data && (
          <LinkButton to={`/deployments/${portal.data.deploymentId}/portal`} look="secondary" small>
            The deployment
          </LinkButton>
        )}
      </header>
      <main>
        {portal.failure?.status === 404 ? (
          <Empty title="There is no such portal">
            <p>It was never opened, or it belongs to a team you are not in.</p>
          </Empty>
        ) : (
          <FailureNotice failure={portal.failure} retry={portal.reload} />
        )}
        {portal.loading && <Loading />}
        {portal.data && <Shown portal={portal.data} />}
      </main>
    </div>
  );
}

function Shown({ portal }: { portal: Portal }) {
  const { deploymentId, document: facts } = portal;
  const params = { path: { deployment_id: deploymentId } };
  const loaded = useLoad(facts ? `document ${facts.digest}` : null, (signal) =>
    ok(api.GET("/v1/deployments/{deployment_id}/openapi", { params, signal })),
  );
  return (
    <>
      <div className="page-head">
        <div className="stack tight">
          <Title>{facts?.title ?? portal.appName}</Title>
          <span className="row">
            {facts && <Tag>version {facts.version}</Tag>}
            <Badge status={portal.status.health} />
            <span className="soft small">
              {portal.status.health === "healthy" && `answering for ${portal.status.uptime}`}
            </span>
          </span>
        </div>
        {facts && <Downloads portal={portal} />}
      </div>
      {facts ? (
        <Show of={loaded}>{(found) => <Reference document={nodeOf(found)} portal={portal} />}</Show>
      ) : (
        <Empty title="Nothing is published yet">
          <p>Its team has not said yet how it is called.</p>
        </Empty>
      )}
    </>
  );
}

function Downloads({ portal }: { portal: Portal }) {
  const params = { path: { deployment_id: portal.deploymentId } };
  const save = useAction(async (what: "json" | "yaml" | "postman") => {
    const asked =
      what === "postman"
        ? api.GET("/v1/deployments/{deployment_id}/openapi/postman", { params, parseAs: "blob" })
        : api.GET("/v1/deployments/{deployment_id}/openapi", {
            params: { ...params, query: { format: what } },
            parseAs: "blob",
          });
    const file = (await ok<unknown>(asked)) as Blob;
    const ending = what === "postman" ? "postman_collection.json" : `openapi.${what}`;
    const link = window.document.createElement("a");
    link.href = URL.createObjectURL(file);
    link.download = `${portal.appName}.${ending}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  });
  const button = (what: "json" | "yaml" | "postman", words: string) => (
    <Button look="secondary" small disabled={save.busy} onClick={() => void save.run(what)}>
      {words}
    </Button>
  );
  return (
    <div className="row" role="group" aria-label="Downloads">
      {button("json", "OpenAPI JSON")}
      {button("yaml", "OpenAPI YAML")}
      {button("postman", "Postman")}
      <FailureNotice failure={save.failure} />
    </div>
  );
}

function Reference({ document, portal }: { document: Node; portal: Portal }) {
  const [language, setLanguage] = useState<Language>("curl");
  const [key, setKey] = useState("");
  const [search, setSearch] = useState("");
  const operations = useMemo(() => operationsOf(document), [document]);
  const url = portal.url + basePath(document);
  const reader: Reader = { document, url, needsKey: portal.needsKey, key: key.trim(), language };
  const wanted = search.trim().toLowerCase();
  const found = operations.filter(({ method, path, summary, tag }) =>
    `${method} ${path} ${summary} ${tag}`.toLowerCase().includes(wanted),
  );
  return (
    <>
      <section className="card" aria-label="About">
        <Markdown text={textOf(nodeOf(document.info).description)} />
        <Elsewhere document={document} />
        <div className="row">
          <code className="wrap">{url}</code>
          <Copy text={url} what="the URL" />
        </div>
        <div className="fields">
          {portal.needsKey && (
            <Field
              label="Your API key"
              type="password"
              value={key}
              placeholder="tp_live_…"
              hint="For “Try it”. It stays in this page, and goes nowhere but to this API."
              onChange={(event) => setKey(event.target.value)}
            />
          )}
          <Field
            label="Search"
            type="search"
            value={search}
            onChange={(event) => setSearch(event.target.value)}
          />
        </div>
        <Choices
          label="Language of the examples"
          values={LANGUAGES.map((value) => ({ value, name: value }))}
          value={language}
          choose={setLanguage}
        />
      </section>
      {found.length === 0 && <p className="soft">Nothing has “{search}” in it.</p>}
      {groups(found).map(([tag, some]) => (
        <section className="stack tight" key={tag} aria-label={tag}>
          <h2 className="wrap">{tag}</h2>
          {some.map((operation) => (
            <OperationView key={operation.id} operation={operation} reader={reader} />
          ))}
        </section>
      ))}
      <Changelog portal={portal} />
    </>
  );
}

function Elsewhere({ document }: { document: Node }) {
  const info = nodeOf(document.info);
  const links: Array<[string, string]> = [
    ["Documentation", textOf(nodeOf(document.externalDocs).url)],
    ["Terms", textOf(info.termsOfService)],
    [textOf(nodeOf(info.contact).name) || "Contact", textOf(nodeOf(info.contact).url)],
    [textOf(nodeOf(info.license).name) || "Licence", textOf(nodeOf(info.license).url)],
  ];
  const given = links.filter(([, to]) => to);
  if (given.length === 0) return null;
  return (
    <div className="row small wrap">
      {given.map(([words, to]) => (
        <SafeLink key={`${words} ${to}`} to={to}>
          {words}
        </SafeLink>
      ))}
    </div>
  );
}

function Changelog({ portal }: { portal: Portal }) {
  const params = { path: { deployment_id: portal.deploymentId } };
  const [open, setOpen] = useState(false);
  const log = useLoad(open ? `changelog ${portal.document?.digest}` : null, (signal) =>
    ok(api.GET("/v1/deployments/{deployment_id}/openapi/changelog", { params, signal })),
  );
  return (
    <details className="operation" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Changelog</summary>
      {open && (
        <Show of={log}>
          {({ changes }) => (
            <ol className="stack inset" aria-label="Publications">
              {changes.map((one) => (
                <li key={one.digest + one.publishedAt}>
                  <strong>{one.version}</strong> <Moment at={one.publishedAt} />
                  <Named how="New" names={one.added} />
                  <Named how="Changed" names={one.changed} />
                  <Named how="Deprecated" names={one.deprecated} />
                  <Named how="Gone" names={one.removed} />
                  <Named how="Schemas" names={one.schemas} />
                </li>
              ))}
            </ol>
          )}
        </Show>
      )}
    </details>
  );
}

function Named({ how, names }: { how: string; names: readonly string[] }): ReactNode {
  if (names.length === 0) return null;
  return (
    <div className="small wrap">
      <span className="soft">{how}: </span>
      <code>{names.join(", ")}</code>
    </div>
  );
}

function groups(operations: Operation[]): Array<[string, Operation[]]> {
  const found = new Map<string, Operation[]>();
  for (const operation of operations) {
    found.set(operation.tag, [...(found.get(operation.tag) ?? []), operation]);
  }
  return [...found];
}
