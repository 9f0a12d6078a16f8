import { useState } from "react";
import { useAction } from "../../api/useAction";
import { Button } from "../../components/Button";
import { Code } from "../../components/Copy";
import { Field } from "../../components/Field";
import { milliseconds } from "../../components/numbers";
import { FailureNotice } from "../../components/Notice";
import { Failure } from "../../api/failure";
import { Link } from "../../routing/router";
import type { Deployment } from "./deployment";

interface Answered {
  status: number;
  took: number;
  body: string;
}

const SHOWN_MAX = 4000;

/** A first call: a line for the terminal, and the same from this page. */
export function CallIt({
  deployment,
  given,
  called,
}: {
  deployment: Deployment;
  /** The key, where it is at hand. */
  given?: string;
  called?: () => void;
}) {
  const [path, setPath] = useState("/");
  const [typed, setTyped] = useState("");
  const [answered, setAnswered] = useState<Answered>();
  const needsKey = deployment.visibility === "private";
  const key = given ?? typed.trim();
  const url = deployment.url + (path.startsWith("/") ? path : `/${path}`);
  const shownKey = key || "$TALLYPORT_KEY";
  const header = needsKey ? ` \\\n  -H "X-API-Key: ${shownKey}"` : "";
  const call = useAction(async () => {
    const began = performance.now();
    const headers: HeadersInit = needsKey ? { "X-API-Key": key } : {};
    const answer = await fetch(url, { headers, cache: "no-store" }).catch(() => {
      throw new Failure(
        0,
        "not_reached",
        `The browser could not reach ${deployment.url}. The line above may work from a terminal.`,
      );
    });
    const body = await answer.text();
    setAnswered({ status: answer.status, took: performance.now() - began, body });
    called?.();
  });
  return (
    <div className="stack">
      <Code text={`curl '${url.replaceAll("'", "%27")}'${header}`} label="the curl line" />
      <form
        className="row call"
        onSubmit={(event) => {
          event.preventDefault();
          void call.run();
        }}
      >
        <Field
          label="Path"
          value={path}
          spellCheck={false}
          onChange={(event) => setPath(event.target.value)}
        />
        {needsKey && given === undefined && (
          <Field
            label="API key"
            type="password"
            required
            value={typed}
            placeholder="tp_live_…"
            onChange={(event) => setTyped(event.target.value)}
          />
        )}
        <Button type="submit" busy={call.busy}>
          Try it
        </Button>
      </form>
      {needsKey && given === undefined && (
        <p className="soft small">
          A key is shown once, when it is made. <Link to="/keys">Make one</Link>.
        </p>
      )}
      <FailureNotice failure={call.failure} />
      <div aria-live="polite" className="stack tight">
        {answered && (
          <>
            <div className="row">
              <span className={`badge ${answered.status < 400 ? "good" : "bad"}`}>
                {answered.status}
              </span>
              <span className="soft small">after {milliseconds(answered.took)}</span>
            </div>
            <pre className="answer" tabIndex={0} aria-label="The answer">
              {readable(answered.body).slice(0, SHOWN_MAX)}
            </pre>
          </>
        )}
      </div>
    </div>
  );
}

function readable(body: string): string {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}
