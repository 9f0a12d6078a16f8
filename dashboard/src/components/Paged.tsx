import { useEffect, type ReactNode } from "react";
import type { Loaded } from "../api/useLoad";
import { setQuery, useQuery } from "../routing/router";
import { Button } from "./Button";
import { Loading } from "./Notice";
import { Show } from "./Show";

interface Pagination {
  page: number;
  limit: number;
  total: number;
  totalPages: number;
}

/** Returns which page of the list is asked for. It stands in the address, so it can be kept. */
export function usePageNumber(): number {
  const page = Number(useQuery().get("page"));
  return Number.isSafeInteger(page) && page > 0 ? page : 1;
}

/**
 * One page of a list, with the way to the others. Where the last row of the last page has gone, the
 * page before is shown: that a list is empty is said of an empty list only.
 */
export function Paged<Data extends { pagination: Pagination }, Row>({
  of,
  rows,
  empty,
  children,
}: {
  of: Loaded<Data>;
  rows: (data: Data) => readonly Row[];
  empty: ReactNode;
  children: (rows: readonly Row[]) => ReactNode;
}) {
  return (
    <Show of={of}>
      {(data) => {
        const { page, totalPages } = data.pagination;
        const found = rows(data);
        if (found.length > 0) {
          return (
            <>
              {children(found)}
              <Pager pagination={data.pagination} />
            </>
          );
        }
        return page > Math.max(1, totalPages) ? <PastTheEnd last={totalPages} /> : empty;
      }}
    </Show>
  );
}

function PastTheEnd({ last }: { last: number }) {
  useEffect(() => go(last), [last]);
  return <Loading />;
}

function go(page: number): void {
  setQuery({ page: page > 1 ? String(page) : "" });
}

/** Where one is in a long list. */
function Pager({ pagination }: { pagination: Pagination }) {
  const { page, limit, total, totalPages } = pagination;
  if (totalPages <= 1) return null;
  const first = (page - 1) * limit + 1;
  const step = (name: string, to: number) => (
    <Button
      look="secondary"
      small
      disabled={to < 1 || to > totalPages || to === page}
      onClick={() => go(to)}
    >
      {name}
    </Button>
  );
  return (
    <nav className="pager" aria-label="Pages">
      <span className="soft small number">
        {first.toLocaleString()} to {Math.min(page * limit, total).toLocaleString()} of{" "}
        {total.toLocaleString()}
      </span>
      <span className="row">
        {totalPages > 2 && step("First", 1)}
        {step("Previous", page - 1)}
        {step("Next", page + 1)}
        {totalPages > 2 && step("Last", totalPages)}
      </span>
    </nav>
  );
}
