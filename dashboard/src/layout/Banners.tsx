import { api, ok } from "../api/client";
import { useLoad } from "../api/useLoad";
import { exactly } from "../components/Moment";
import { Notice } from "../components/Notice";

const EVERY_SECONDS = 60;

/** What everybody is told, above every page: announcements, and maintenance under way or near. */
export function Banners() {
  const notices = useLoad(
    "notices",
    (signal) => ok(api.GET("/v1/announcements", { signal })),
    EVERY_SECONDS,
  );
  if (!notices.data) return null;
  const { announcements, maintenance } = notices.data;
  if (announcements.length + maintenance.length === 0) return null;
  return (
    <section aria-label="Announcements" className="stack tight banners">
      {maintenance.map((one) => (
        <Notice key={one.id} tone={one.phase === "under way" ? "bad" : "warn"}>
          <strong>
            Maintenance of {one.appName ?? "all apps"}:{" "}
            {one.phase === "under way"
              ? `until ${exactly(one.endsAt)}`
              : `${exactly(one.startsAt)} to ${exactly(one.endsAt)}`}
          </strong>
          <span>{one.text}</span>
        </Notice>
      ))}
      {announcements.map((one) => (
        <Notice key={one.id} tone={one.tone === "warning" ? "warn" : ""}>
          {one.text}
        </Notice>
      ))}
    </section>
  );
}
