import { useEffect, useRef } from "react";
import { Link } from "../routing/router";

/** Views of one thing, each with an address of its own. */
export function Tabs({
  label,
  tabs,
  current,
}: {
  label: string;
  tabs: ReadonlyArray<{ name: string; to: string }>;
  current: string;
}) {
  const shown = useRef<HTMLElement>(null);
  useEffect(() => {
    const strip = shown.current;
    const here = strip?.querySelector<HTMLElement>("[aria-current]");
    if (strip && here) strip.scrollLeft = here.offsetLeft - strip.offsetLeft - 32;
  }, [current]);
  return (
    <nav className="tabs" aria-label={label} ref={shown}>
      {tabs.map((tab) => (
        <Link key={tab.to} to={tab.to} aria-current={tab.to === current ? "page" : undefined}>
          {tab.name}
        </Link>
      ))}
    </nav>
  );
}

/** One of a few, at once. */
export function Choices<Value extends string>({
  label,
  values,
  value,
  choose,
}: {
  label: string;
  values: ReadonlyArray<{ value: Value; name: string }>;
  value: Value;
  choose: (value: Value) => void;
}) {
  return (
    <div className="choices" role="group" aria-label={label}>
      {values.map((one) => (
        <button
          key={one.value}
          type="button"
          aria-pressed={one.value === value}
          onClick={() => choose(one.value)}
        >
          {one.name}
        </button>
      ))}
    </div>
  );
}
