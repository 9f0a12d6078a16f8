import { useEffect, useRef, type ReactNode } from "react";

/** A page: its title, what can be done on it, and the rest. */
export function Page({
  title,
  lead,
  actions,
  children,
}: {
  title: ReactNode;
  lead?: ReactNode;
  actions?: ReactNode;
  children?: ReactNode;
}) {
  return (
    <>
      <div className="page-head">
        <div className="stack tight">
          <Title>{title}</Title>
          {lead && <p>{lead}</p>}
        </div>
        {actions && <div className="row">{actions}</div>}
      </div>
      {children}
    </>
  );
}

/** The heading of a page. It takes the focus, so that a screen reader says where one has come. */
export function Title({ children }: { children: ReactNode }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    const shown = heading.current;
    if (!shown) return;
    const name = () => {
      document.title = `${shown.textContent} · Tallyport`;
    };
    name();
    const observer = new MutationObserver(name);
    observer.observe(shown, { childList: true, characterData: true, subtree: true });
    if (!document.querySelector("dialog[open]")) shown.focus({ preventScroll: true });
    return () => observer.disconnect();
  }, []);
  return (
    <h1 ref={heading} tabIndex={-1}>
      {children}
    </h1>
  );
}
