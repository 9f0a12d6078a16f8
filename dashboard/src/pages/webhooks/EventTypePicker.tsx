import { useState } from "react";
import { api, ok } from "../../api/client";
import { useLoad } from "../../api/useLoad";
import { Check } from "../../components/Field";
import { Show } from "../../components/Show";

/** Chooses event types: everything, all about one kind of thing, or one by one. */
export function EventTypePicker({ chosen }: { chosen: readonly string[] }) {
  const [everything, setEverything] = useState(chosen.includes("*"));
  const known = useLoad("event types", (signal) =>
    ok(api.GET("/v1/webhooks/event-types", { signal })),
  );
  return (
    <fieldset>
      <legend>Tell it of</legend>
      <Check
        name="eventType"
        value="*"
        label="Everything, also what is added later"
        checked={everything}
        onChange={(event) => setEverything(event.target.checked)}
      />
      {!everything && (
        <Show of={known}>
          {({ eventTypes }) => (
            <>
              {eventTypes.map((one) => (
                <Check
                  key={one.type}
                  name="eventType"
                  value={one.type}
                  defaultChecked={wants(chosen, one.type)}
                  label={<span className="mono">{one.type}</span>}
                  hint={one.description}
                />
              ))}
            </>
          )}
        </Show>
      )}
    </fieldset>
  );
}

/** Returns the event types that a form has chosen. */
export function eventTypesOf(form: FormData): string[] {
  return form.getAll("eventType").map(String);
}

function wants(chosen: readonly string[], type: string): boolean {
  return chosen.some(
    (one) => one === type || (one.endsWith(".*") && type.startsWith(one.slice(0, -1))),
  );
}
