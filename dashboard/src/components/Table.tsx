import type { ReactNode } from "react";
import { Button } from "./Button";

export interface Column<Row> {
  name: string;
  cell: (row: Row) => ReactNode;
  /** For numbers. */
  right?: boolean;
  /** For buttons: the head is only read out. */
  actions?: boolean;
}

/** Rows of things. On a phone each row becomes a small card. */
export function Table<Row>({
  caption,
  columns,
  rows,
  keyOf,
}: {
  caption: string;
  columns: ReadonlyArray<Column<Row>>;
  rows: readonly Row[];
  keyOf: (row: Row) => string;
}) {
  return (
    <div className="table-scroll">
      <table className="stacking">
        <caption className="visually-hidden">{caption}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.name} scope="col" className={column.right ? "right" : undefined}>
                {column.actions ? (
                  <span className="visually-hidden">{column.name}</span>
                ) : (
                  column.name
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={keyOf(row)}>
              {columns.map((column) => (
                <td
                  key={column.name}
                  data-name={column.actions ? "" : column.name}
                  className={column.actions ? "actions" : column.right ? "right" : undefined}
                >
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface Pagination {
  page: number;
  limit: number;
  total: number;
  totalPages: number;
}

/** Where one is in a long list. */
export function Pager({ pagination, go }: { pagination: Pagination; go: (page: number) => void }) {
  const { page, limit, total, totalPages } = pagination;
  if (totalPages <= 1) return null;
  const first = (page - 1) * limit + 1;
  return (
    <nav className="pager" aria-label="Pages">
      <span className="soft small number">
        {first.toLocaleString()} to {Math.min(page * limit, total).toLocaleString()} of{" "}
        {total.toLocaleString()}
      </span>
      <span className="row">
        {totalPages > 2 && (
          <Button look="secondary" small disabled={page <= 1} onClick={() => go(1)}>
            First
          </Button>
        )}
        <Button look="secondary" small disabled={page <= 1} onClick={() => go(page - 1)}>
          Previous
        </Button>
        <Button look="secondary" small disabled={page >= totalPages} onClick={() => go(page + 1)}>
          Next
        </Button>
        {totalPages > 2 && (
          <Button
            look="secondary"
            small
            disabled={page >= totalPages}
            onClick={() => go(totalPages)}
          >
            Last
          </Button>
        )}
      </span>
    </nav>
  );
}
