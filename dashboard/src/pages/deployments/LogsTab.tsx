import { useEffect, useMemo, useRef, useState } from "react";
import { socketAddress } from "../../api/live";
import { Button } from "../../components/Button";
import { Choices } from "../../components/Tabs";
import type { Schema } from "../../api/client";
import type { TabProps } from "./DeploymentPage";
import { wordsOf } from "./lines";

type Line = Schema["Line"] & { number: number };
type Level = "all" | "warning" | "error";

const KEPT_MAX = 2000;
const TAIL = 300;
const SHOWN_CHARACTERS_MAX = 1000;
const AGAIN_SECONDS = 3;
const LEVELS: ReadonlyArray<{ value: Level; name: string }> = [
  { value: "all", name: "All" },
  { value: "warning", name: "Warnings" },
  { value: "error", name: "Errors" },
];
const GRAVE: Record<string, number> = { warning: 1, warn: 1, error: 2, critical: 2, fatal: 2 };
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });

/** What the program writes, as it writes it. */
export function LogsTab({ deployment }: TabProps) {
  const [search, setSearch] = useState("");
  const [level, setLevel] = useState<Level>("all");
  const [paused, setPaused] = useState(false);
  const [wanted, setWanted] = useState("");
  const { lines, connected } = useLines(deployment.id, wanted, paused);
  const box = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);

  useEffect(() => {
    const timer = setTimeout(() => setWanted(search), 300);
    return () => clearTimeout(timer);
  }, [search]);

  useEffect(() => {
    const shown = box.current;
    if (shown && atEnd.current) shown.scrollTop = shown.scrollHeight;
  }, [lines]);

  const least = level === "all" ? 0 : level === "warning" ? 1 : 2;
  const visible = lines.filter((line) => (GRAVE[line.level] ?? 0) >= least);
  return (
    <section className="card flush" aria-label="Logs">
      <div className="filters">
        <input
          type="search"
          aria-label="Search in the logs"
          placeholder="Search"
          value={search}
          onChange={(event) => setSearch(event.target.value)}
        />
        <Choices label="Level" values={LEVELS} value={level} choose={setLevel} />
        <Button look="secondary" small onClick={() => setPaused(!paused)} aria-pressed={paused}>
          {paused ? "Go on" : "Pause"}
        </Button>
        <span role="status" className="soft small">
          {paused ? "Paused" : connected ? "Live" : "Connecting …"}
        </span>
      </div>
      <div
        className="log"
        ref={box}
        tabIndex={0}
        role="log"
        aria-label="Lines"
        onScroll={({ currentTarget: shown }) => {
          atEnd.current = shown.scrollHeight - shown.scrollTop - shown.clientHeight < 40;
        }}
      >
        {visible.map((line) => (
          <div key={line.number} className={(GRAVE[line.level] ?? 0) > 1 ? "error" : line.level}>
            <time dateTime={line.timestamp} title={`${line.timestamp} ${line.replica}`}>
              {clock.format(new Date(line.timestamp))}
            </time>
            <span className="level">{line.level}</span>
            <Message line={line.message} />
          </div>
        ))}
        {visible.length === 0 && (
          <p className="soft nothing">
            {wanted || level !== "all"
              ? "No line says that. New ones are shown as they come."
              : "It has written nothing yet. New lines are shown as they come."}
          </p>
        )}
      </div>
    </section>
  );
}

/** What a line says; of a very long one its beginning, until somebody wants all of it. */
function Message({ line }: { line: string }) {
  const [whole, setWhole] = useState(false);
  const { said, rest } = useMemo(() => wordsOf(line), [line]);
  const length = said.length + rest.length;
  const cut = !whole && length > SHOWN_CHARACTERS_MAX;
  return (
    <span className="message">
      {cut ? `${said.slice(0, SHOWN_CHARACTERS_MAX)} … ` : said}
      {!cut && rest && <span className="soft"> {rest}</span>}
      {cut && (
        <Button look="secondary" small onClick={() => setWhole(true)}>
          Show all {length.toLocaleString()} characters
        </Button>
      )}
    </span>
  );
}

/** Keeps the newest lines while connected; begins anew when the search changes. */
function useLines(deploymentId: string, search: string, paused: boolean) {
  const [lines, setLines] = useState<readonly Line[]>([]);
  const [connected, setConnected] = useState(false);
  const [round, setRound] = useState(0);

  useEffect(() => {
    if (paused) return;
    let socket: WebSocket | undefined;
    let over = false;
    let number = 0;
    let waiting: Line[] = [];
    let fresh = true;
    const draw = setInterval(() => {
      if (waiting.length === 0 && !fresh) return;
      const more = waiting;
      waiting = [];
      const begin = fresh && socket?.readyState === WebSocket.OPEN;
      if (begin) fresh = false;
      setLines((before) => [...(begin ? [] : before), ...more].slice(-KEPT_MAX));
    }, 150);
    const again = () => {
      setConnected(false);
      if (!over) setTimeout(() => !over && setRound((one) => one + 1), AGAIN_SECONDS * 1000);
    };
    const query: Record<string, string> = { tail: String(TAIL) };
    if (search) query["search"] = search;
    socketAddress(`/v1/deployments/${deploymentId}/logs/stream`, query).then((address) => {
      if (over) return;
      socket = new WebSocket(address);
      socket.addEventListener("open", () => setConnected(true));
      socket.addEventListener("message", (message: MessageEvent<string>) => {
        waiting.push({ ...(JSON.parse(message.data) as Schema["Line"]), number: (number += 1) });
      });
      socket.addEventListener("close", again);
    }, again);
    return () => {
      over = true;
      clearInterval(draw);
      socket?.close();
    };
  }, [deploymentId, search, paused, round]);

  return { lines, connected };
}
