import type { ReactNode } from "react";
import type { Loaded } from "../api/useLoad";
import { FailureNotice, Loading } from "./Notice";

/** What was read, or that it is being read, or why it could not be. */
export function Show<Data>({
  of,
  children,
}: {
  of: Loaded<Data>;
  children: (data: Data) => ReactNode;
}) {
  return (
    <>
      <FailureNotice failure={of.failure} retry={of.reload} />
      {of.data !== undefined && children(of.data)}
      {of.loading && <Loading />}
    </>
  );
}
