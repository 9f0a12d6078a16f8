import { useCallback, useEffect, useRef, useState } from "react";
import { asFailure, type Failure } from "./failure";

export interface Loaded<Data> {
  data?: Data;
  failure?: Failure;
  loading: boolean;
  /** Asks again; what is shown stays until the answer is there. */
  reload: () => void;
}

/**
 * Reads something, again whenever `key` changes, and every `everySeconds` while the page is seen.
 * The key says what is read: what was read under another key is never shown.
 */
export function useLoad<Data>(
  key: string | null,
  load: (signal: AbortSignal) => Promise<Data>,
  everySeconds?: number,
): Loaded<Data> {
  const [found, setFound] = useState<{ key: string; data?: Data; failure?: Failure }>();
  const [round, setRound] = useState(0);
  const latest = useRef(load);
  latest.current = load;
  const reload = useCallback(() => setRound((number) => number + 1), []);

  useEffect(() => {
    if (key === null) return;
    const stop = new AbortController();
    latest.current(stop.signal).then(
      (data) => !stop.signal.aborted && setFound({ key, data }),
      (error: unknown) => {
        if (stop.signal.aborted) return;
        setFound((before) => ({
          key,
          data: before?.key === key ? before.data : undefined,
          failure: asFailure(error),
        }));
      },
    );
    return () => stop.abort();
  }, [key, round]);

  useEffect(() => {
    if (everySeconds === undefined) return;
    const timer = setInterval(() => {
      if (document.visibilityState === "visible") reload();
    }, everySeconds * 1000);
    return () => clearInterval(timer);
  }, [everySeconds, reload]);

  const current = found?.key === key ? found : undefined;
  return {
    data: current?.data,
    failure: current?.failure,
    loading: current === undefined,
    reload,
  };
}
