import type { ReactNode } from "react";
import { Title } from "../../layout/Page";
import mark from "../../mark.svg";
import { Link } from "../../routing/router";

/** What stands around the pages of who is not signed in. */
export function Gate({
  title,
  lead,
  children,
}: {
  title: string;
  lead?: ReactNode;
  children: ReactNode;
}) {
  return (
    <div className="gate">
      <Link to="/" className="brand">
        <img src={mark} alt="" width={32} height={32} />
        Tallyport
      </Link>
      <main>
        <div className="card">
          <div className="stack tight">
            <Title>{title}</Title>
            {lead && <p className="soft">{lead}</p>}
          </div>
          {children}
        </div>
      </main>
    </div>
  );
}
