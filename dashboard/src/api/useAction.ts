import { useCallback, useRef, useState } from "react";
import { asFailure, type Failure } from "./failure";

export interface Action<Arguments extends unknown[]> {
  /** Does it, unless it is being done already; false when it was refused. */
  run: (...given: Arguments) => Promise<boolean>;
  busy: boolean;
  failure?: Failure;
  forget: () => void;
}

/** Something that a button or a form does: once at a time, with what went wrong at hand. */
export function useAction<Arguments extends unknown[]>(
  act: (...given: Arguments) => Promise<unknown>,
): Action<Arguments> {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure>();
  const running = useRef(false);
  const latest = useRef(act);
  latest.current = act;

  const run = useCallback(async (...given: Arguments) => {
    if (running.current) return false;
    running.current = true;
    setBusy(true);
    setFailure(undefined);
    try {
      await latest.current(...given);
      return true;
    } catch (error) {
      setFailure(asFailure(error));
      return false;
    } finally {
      running.current = false;
      setBusy(false);
    }
  }, []);

  const forget = useCallback(() => setFailure(undefined), []);
  return { run, busy, failure, forget };
}
