import { count, percent } from "../../components/numbers";

/** How often each status was answered. */
export function StatusBars({ byStatus }: { byStatus: Record<string, number> }) {
  const rows = Object.entries(byStatus).sort(([one], [other]) => one.localeCompare(other));
  const total = rows.reduce((sum, [, number]) => sum + number, 0);
  return (
    <ul className="bars">
      {rows.map(([status, number]) => (
        <li key={status}>
          <span className="row between">
            <strong>{status}</strong>
            <span className="soft small number">
              {count(number)} ({percent(number / total)})
            </span>
          </span>
          <svg className={`meter ${tone(status)}`} viewBox="0 0 100 6" preserveAspectRatio="none">
            <rect width={Math.max(0.5, (number / total) * 100)} height={6} />
          </svg>
        </li>
      ))}
    </ul>
  );
}

function tone(status: string): string {
  if (status >= "500") return "bad";
  return status >= "400" ? "warn" : "";
}
