import { lazy, Suspense } from "react";
import { Loading } from "../components/Notice";
import { Redirect, type Route } from "../routing/router";
import { AccountPage } from "./account/AccountPage";
import { DevicePage } from "./account/DevicePage";
import { MailboxPage, MailPage } from "./admin/MailboxPage";
import { NoticesPage } from "./admin/NoticesPage";
import { PeoplePage } from "./admin/PeoplePage";
import { SystemPage } from "./admin/SystemPage";
import { TeamsResourcesPage } from "./admin/TeamsResourcesPage";
import { AlertsPage } from "./alerts/AlertsPage";
import { AnalyticsPage } from "./analytics/AnalyticsPage";
import { RequestsPage } from "./analytics/RequestsPage";
import { UsagePage } from "./analytics/UsagePage";
import { AuditPage } from "./audit/AuditPage";
import { HistoryPage } from "./audit/HistoryPage";
import { DeploymentPage } from "./deployments/DeploymentPage";
import { DeploymentsPage } from "./deployments/DeploymentsPage";
import { NewDeploymentPage } from "./deployments/NewDeploymentPage";
import { HomePage } from "./home/HomePage";
import { KeyPage } from "./keys/KeyPage";
import { KeysPage } from "./keys/KeysPage";
import { InvitationPage } from "./sign-in/InvitationPage";
import { ForgotPasswordPage, ResetPasswordPage } from "./sign-in/PasswordPages";
import { SetupPage } from "./sign-in/SetupPage";
import { SignUpPage } from "./sign-in/SignUpPage";
import { VerifyEmailPage } from "./sign-in/VerifyEmailPage";
import { TeamPage } from "./teams/TeamPage";
import { TeamsPage } from "./teams/TeamsPage";
import { WebhookPage } from "./webhooks/WebhookPage";
import { WebhooksPage } from "./webhooks/WebhooksPage";

/** Read by strangers too, and large: nobody else loads it. */
const PortalPage = lazy(() => import("./portal/PortalPage"));

/** Pages for everybody. `api/dashboard.py` has the first part of every path, too. */
export const OPEN_ROUTES: readonly Route[] = [
  { path: "/forgot-password", page: () => <ForgotPasswordPage /> },
  { path: "/reset-password", page: () => <ResetPasswordPage /> },
  { path: "/verify-email", page: () => <VerifyEmailPage /> },
  { path: "/invitations/:token", page: ({ token = "" }) => <InvitationPage token={token} /> },
  { path: "/setup", page: () => <SetupPage /> },
  {
    path: "/portal/:name",
    page: ({ name = "" }) => (
      <Suspense fallback={<Loading />}>
        <PortalPage name={name} key={name} />
      </Suspense>
    ),
  },
];

/** Pages for who is not signed in; the others go home. */
export const STRANGERS_ROUTES: readonly Route[] = [
  { path: "/sign-up", page: () => <SignUpPage /> },
];

/** Pages for who is signed in; the others are asked to sign in first. */
export const ROUTES: readonly Route[] = [
  { path: "/", page: () => <HomePage /> },
  { path: "/deployments", page: () => <DeploymentsPage /> },
  { path: "/deployments/new", page: () => <NewDeploymentPage /> },
  { path: "/deployments/:id", page: ({ id = "" }) => <DeploymentPage id={id} key={id} /> },
  {
    path: "/deployments/:id/:tab",
    page: ({ id = "", tab }) => <DeploymentPage id={id} tab={tab} key={id} />,
  },
  { path: "/keys", page: () => <KeysPage /> },
  { path: "/keys/:id", page: ({ id = "" }) => <KeyPage id={id} key={id} /> },
  { path: "/analytics", page: () => <AnalyticsPage /> },
  { path: "/alerts", page: () => <AlertsPage /> },
  { path: "/analytics/requests", page: () => <RequestsPage /> },
  { path: "/webhooks", page: () => <WebhooksPage /> },
  { path: "/webhooks/:id", page: ({ id = "" }) => <WebhookPage id={id} key={id} /> },
  { path: "/usage", page: () => <UsagePage /> },
  { path: "/audit", page: () => <AuditPage /> },
  {
    path: "/history/:resource",
    page: ({ resource = "" }) => <HistoryPage resource={resource} key={resource} />,
  },
  { path: "/teams", page: () => <TeamsPage /> },
  { path: "/teams/:id", page: ({ id = "" }) => <TeamPage id={id} key={id} /> },
  { path: "/profile", page: () => <AccountPage /> },
  { path: "/profile/:tab", page: ({ tab }) => <AccountPage tab={tab} /> },
  { path: "/device", page: () => <DevicePage /> },
  { path: "/admin/people", page: () => <PeoplePage /> },
  { path: "/admin/mailbox", page: () => <MailboxPage /> },
  { path: "/admin/mailbox/:id", page: ({ id = "" }) => <MailPage id={id} key={id} /> },
  { path: "/admin/teams", page: () => <TeamsResourcesPage /> },
  { path: "/admin/system", page: () => <SystemPage /> },
  { path: "/admin/announcements", page: () => <NoticesPage /> },
  { path: "/sign-in", page: () => <Redirect to="/" /> },
  { path: "/sign-up", page: () => <Redirect to="/" /> },
];
