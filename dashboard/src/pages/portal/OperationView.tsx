import { useMemo, useState } from "react";
import { Failure } from "../../api/failure";
import { useAction } from "../../api/useAction";
import { Tag } from "../../components/Badge";
import { Button } from "../../components/Button";
import { Code } from "../../components/Copy";
import { Area, Field, Select } from "../../components/Field";
import { milliseconds } from "../../components/numbers";
import { FailureNotice } from "../../components/Notice";
import { callOf, exampleOf, keyOf, type Call, type Language, type Values } from "./examples";
import { Markdown } from "./Markdown";
import type { Answer, Content, Node, Operation, Parameter } from "./openapi";
import { SchemaView } from "./SchemaView";

export interface Reader {
  document: Node;
  /** Where every call goes. */
  url: string;
  needsKey: boolean;
  key: string;
  language: Language;
}

const SHOWN_MAX = 20_000;
const NOT_FROM_A_BROWSER = new Set(["TRACE", "OPTIONS"]);

/** One operation: closed until somebody wants to see it, so that a thousand of them cost nothing. */
export function OperationView({ operation, reader }: { operation: Operation; reader: Reader }) {
  const [open, setOpen] = useState(
    () => decodeURIComponent(window.location.hash.slice(1)) === operation.id,
  );
  return (
    <details
      className="operation"
      id={operation.id}
      open={open}
      onToggle={(event) => setOpen(event.currentTarget.open)}
    >
      <summary>
        <Tag>{operation.method}</Tag> <code className="wrap">{operation.path}</code>{" "}
        <span className="soft">{operation.summary}</span>
        {operation.deprecated && <Tag tone="warn">deprecated</Tag>}
      </summary>
      {open && <Inside operation={operation} reader={reader} />}
    </details>
  );
}

function Inside({ operation, reader }: { operation: Operation; reader: Reader }) {
  const [values, setValues] = useState(() => valuesOf(operation));
  const call = useMemo(
    () => callOf(reader.url, operation, values),
    [reader.url, operation, values],
  );
  const { body } = operation;
  return (
    <div className="columns sided inset">
      <div className="stack">
        <Markdown text={operation.description} />
        {operation.parameters.length > 0 && (
          <section className="stack tight" aria-label="Parameters">
            <h4>Parameters</h4>
            {operation.parameters.map((one) => (
              <ParameterView key={keyOf(one.place, one.name)} parameter={one} reader={reader} />
            ))}
          </section>
        )}
        {body && (
          <section className="stack tight" aria-label="Body">
            <h4>Body{body.required && <span className="soft"> required</span>}</h4>
            <Markdown text={body.description} />
            {body.contents.map((one) => (
              <ContentView key={one.kind} content={one} reader={reader} />
            ))}
          </section>
        )}
        <section className="stack tight" aria-label="Answers">
          <h4>Answers</h4>
          {operation.answers.map((one) => (
            <AnswerView key={one.status} answer={one} reader={reader} />
          ))}
        </section>
      </div>
      <div className="stack">
        <Code
          text={exampleOf(reader.language, call, reader.needsKey)}
          label={`${reader.language} for ${operation.method} ${operation.path}`}
        />
        {!NOT_FROM_A_BROWSER.has(operation.method) && (
          <TryIt
            operation={operation}
            reader={reader}
            call={call}
            values={values}
            change={setValues}
          />
        )}
      </div>
    </div>
  );
}

function ParameterView({ parameter, reader }: { parameter: Parameter; reader: Reader }) {
  return (
    <div className="parameter">
      <code className="property">{parameter.name}</code>{" "}
      <span className="soft small">
        in {parameter.place}
        {parameter.required && ", required"}
      </span>
      <SchemaView document={reader.document} schema={parameter.schema} depth={1} />
      <Markdown text={parameter.description} />
    </div>
  );
}

function ContentView({ content, reader }: { content: Content; reader: Reader }) {
  return (
    <div className="stack tight">
      <span className="mono soft wrap">{content.kind}</span>
      <SchemaView document={reader.document} schema={content.schema} />
      {content.sample && (
        <details>
          <summary>Example</summary>
          <pre className="answer" tabIndex={0} aria-label={`Example of ${content.kind}`}>
            {content.sample.slice(0, SHOWN_MAX)}
          </pre>
        </details>
      )}
    </div>
  );
}

function AnswerView({ answer, reader }: { answer: Answer; reader: Reader }) {
  return (
    <div className="parameter">
      <Tag tone={answer.status.startsWith("2") ? "good" : ""}>{answer.status}</Tag>
      <Markdown text={answer.description} />
      {answer.contents.map((one) => (
        <ContentView key={one.kind} content={one} reader={reader} />
      ))}
    </div>
  );
}

interface Answered {
  status: number;
  took: number;
  kind: string;
  body: string;
}

function TryIt({
  operation,
  reader,
  call,
  values,
  change,
}: {
  operation: Operation;
  reader: Reader;
  call: Call;
  values: Values;
  change: (values: Values) => void;
}) {
  const [answered, setAnswered] = useState<Answered>();
  const send = useAction(async () => setAnswered(await ask(call, reader)));
  const parameters = operation.parameters.filter((one) => one.place !== "cookie");
  return (
    <form
      className="stack tight"
      aria-label={`Try ${operation.method} ${operation.path}`}
      onSubmit={(event) => {
        event.preventDefault();
        void send.run();
      }}
    >
      {parameters.map(({ place, name, required }) => (
        <Field
          key={keyOf(place, name)}
          label={`${name} (${place})`}
          required={required}
          spellCheck={false}
          value={values.parameters[keyOf(place, name)] ?? ""}
          onChange={(event) => {
            const changed = { [keyOf(place, name)]: event.target.value };
            change({ ...values, parameters: { ...values.parameters, ...changed } });
          }}
        />
      ))}
      {operation.body && operation.body.contents.length > 1 && (
        <Select
          label="Kind of body"
          value={values.kind}
          onChange={(event) => {
            const kind = event.target.value;
            const body = operation.body?.contents.find((one) => one.kind === kind)?.sample;
            change({ ...values, kind, body });
          }}
        >
          {operation.body.contents.map((one) => (
            <option key={one.kind}>{one.kind}</option>
          ))}
        </Select>
      )}
      {operation.body && (
        <Area
          label="Body to send"
          className="mono"
          spellCheck={false}
          value={values.body ?? ""}
          onChange={(event) => change({ ...values, body: event.target.value })}
        />
      )}
      <div className="row">
        <Button type="submit" busy={send.busy} disabled={reader.needsKey && !reader.key}>
          Try it
        </Button>
        {reader.needsKey && !reader.key && (
          <span className="soft small">Type your key at the top first.</span>
        )}
      </div>
      <FailureNotice failure={send.failure} />
      <div aria-live="polite" className="stack tight">
        {answered && (
          <>
            <div className="row">
              <Tag tone={answered.status < 400 ? "good" : "bad"}>{answered.status}</Tag>
              <span className="soft small">
                {answered.kind} after {milliseconds(answered.took)}
              </span>
            </div>
            <pre className="answer" tabIndex={0} aria-label="The answer">
              {answered.body.slice(0, SHOWN_MAX)}
            </pre>
          </>
        )}
      </div>
    </form>
  );
}

/** Sends the call. A redirect is not followed: the key is for this API only. */
async function ask(call: Call, { needsKey, key, url }: Reader): Promise<Answered> {
  const began = performance.now();
  const headers = new Headers(call.headers);
  if (needsKey) headers.set("X-API-Key", key);
  const answer = await fetch(call.url, {
    method: call.method,
    headers,
    body: call.body,
    cache: "no-store",
    credentials: "omit",
    redirect: "manual",
    referrerPolicy: "no-referrer",
  }).catch(() => {
    throw new Failure(
      0,
      "not_reached",
      `The browser could not reach ${url}. The lines above may work from a terminal.`,
    );
  });
  if (answer.type === "opaqueredirect") {
    throw new Failure(0, "redirected", "It answered with a redirect, which is not followed here.");
  }
  return {
    status: answer.status,
    took: performance.now() - began,
    kind: answer.headers.get("Content-Type") ?? "",
    body: readable(await answer.text()),
  };
}

function valuesOf(operation: Operation): Values {
  const parameters: Record<string, string> = {};
  for (const { place, name, required, sample } of operation.parameters) {
    if (required) parameters[keyOf(place, name)] = sample;
  }
  const contents = operation.body?.contents ?? [];
  const first = contents.find((one) => one.kind.includes("json")) ?? contents[0];
  return { parameters, kind: first?.kind, body: first?.sample };
}

function readable(body: string): string {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}
