import type { ReactNode } from "react";
import { Tabs } from "../../components/Tabs";
import { Page } from "../../layout/Page";
import { DataTab } from "./DataTab";
import { ProfileTab } from "./ProfileTab";
import { SecurityTab } from "./SecurityTab";
import { SessionsTab } from "./SessionsTab";

const TABS: ReadonlyArray<{ to: string; name: string; tab: ReactNode }> = [
  { to: "/profile", name: "Profile", tab: <ProfileTab /> },
  { to: "/profile/security", name: "Security", tab: <SecurityTab /> },
  { to: "/profile/sessions", name: "Sessions", tab: <SessionsTab /> },
  { to: "/profile/data", name: "Your data", tab: <DataTab /> },
];

/** Everything about oneself. */
export function AccountPage({ tab = "" }: { tab?: string }) {
  const path = tab ? `/profile/${tab}` : "/profile";
  const current = TABS.find((one) => one.to === path) ?? TABS[0];
  return (
    <Page title="Your account">
      <Tabs label="Parts of your account" tabs={TABS} current={current?.to ?? ""} />
      {current?.tab}
    </Page>
  );
}
