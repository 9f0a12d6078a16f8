import { useEffect } from "react";
import { LinkButton } from "../../components/Button";
import { comeBackTo } from "./links";

/** The ways in for who is not signed in, and then back to the page that they stand on. */
export function Strangers({ path }: { path: string }) {
  useEffect(() => comeBackTo(path), [path]);
  return (
    <div className="row">
      <LinkButton to="/sign-up">Sign up</LinkButton>
      <LinkButton to="/sign-in" look="secondary">
        Sign in
      </LinkButton>
    </div>
  );
}
