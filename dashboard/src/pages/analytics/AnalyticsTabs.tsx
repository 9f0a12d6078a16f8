import { Tabs } from "../../components/Tabs";

const TABS = [
  { name: "Overview", to: "/analytics" },
  { name: "Requests", to: "/analytics/requests" },
];

/** The two ways to look at what was called: in numbers, and one by one. */
export function AnalyticsTabs({ current }: { current: string }) {
  return <Tabs label="Views of analytics" tabs={TABS} current={current} />;
}
