import { api, ok } from "../api/client";
import { useAction } from "../api/useAction";
import { useLoad } from "../api/useLoad";
import { Button } from "../components/Button";
import { exactly } from "../components/Moment";
import { FailureNotice, Notice } from "../components/Notice";
import { beOneself, useSession } from "../session/session";

const EVERY_SECONDS = 60;

/** What everybody is told, above every page: announcements, and maintenance under way or near. */
export function Banners() {
  const notices = useLoad(
    "notices",
    (signal) => ok(api.GET("/v1/announcements", { signal })),
    EVERY_SECONDS,
  );
  const acting = useActing();
  const { announcements = [], maintenance = [] } = notices.data ?? {};
  if (announcements.length + maintenance.length === 0 && acting === undefined) return null;
  return (
    <section aria-label="Announcements" className="stack tight banners">
      {acting !== undefined && <Acting as={acting} />}
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

/** Returns as whom an admin acts. */
function useActing(): string | undefined {
  const session = useSession();
  return session.status === "in" && session.acting ? session.user.username : undefined;
}

function Acting({ as }: { as: string }) {
  const end = useAction(async () => {
    await ok(api.DELETE("/v1/impersonation", {}));
    await beOneself();
  });
  return (
    <Notice tone="warn">
      <span className="row">
        <strong>You act as {as}. What you do has your name in their audit list.</strong>
        <Button look="secondary" small busy={end.busy} onClick={() => void end.run()}>
          Be yourself again
        </Button>
      </span>
      <FailureNotice failure={end.failure} />
    </Notice>
  );
}
