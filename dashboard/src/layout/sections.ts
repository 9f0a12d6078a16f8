/** The sections, in the order in which they are shown. */

export interface Section {
  path: string;
  name: string;
  /** Drawn on 24 by 24. */
  icon: string;
}

/** For who looks after the platform. */
export const ADMIN_SECTIONS: readonly Section[] = [
  {
    path: "/admin/people",
    name: "People",
    icon: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4 21c0-4 3.5-7 8-7s8 3 8 7",
  },
  {
    path: "/admin/teams",
    name: "Quotas",
    icon: "M4 20V10h4v10zM10 20V4h4v16zM16 20v-7h4v7z",
  },
  {
    path: "/admin/system",
    name: "System",
    icon: "M4 5h16v5H4zM4 14h16v5H4zM8 7.5h.01M8 16.5h.01",
  },
  {
    path: "/admin/announcements",
    name: "Announcements",
    icon: "M4 10v4h3l8 4V6l-8 4zM18 9a4 4 0 0 1 0 6",
  },
];

/** For them too, as long as there is no mail server. */
export const MAILBOX: Section = {
  path: "/admin/mailbox",
  name: "Mailbox",
  icon: "M3 6h18v12H3zM3 7l9 6 9-6",
};

export const SECTIONS: readonly Section[] = [
  { path: "/", name: "Home", icon: "M4 11l8-7 8 7v8a1 1 0 0 1-1 1h-4v-6H9v6H5a1 1 0 0 1-1-1z" },
  {
    path: "/deployments",
    name: "Deployments",
    icon: "M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9",
  },
  {
    path: "/keys",
    name: "API keys",
    icon: "M8 15a4 4 0 1 1 3.5-6H21v4h-2v3h-4v-3h-3.5A4 4 0 0 1 8 15zM8 11h.01",
  },
  { path: "/analytics", name: "Analytics", icon: "M4 20V4M4 20h16M8 16l4-5 3 3 5-7" },
  {
    path: "/alerts",
    name: "Alerts",
    icon: "M12 4a6 6 0 0 1 6 6v4l2 3H4l2-3v-4a6 6 0 0 1 6-6zM10 20a2 2 0 0 0 4 0",
  },
  {
    path: "/webhooks",
    name: "Webhooks",
    icon: "M12 3a4 4 0 0 1 2 7.5l3.5 6M17 21a4 4 0 0 0 0-8M7 21a4 4 0 1 1 3.5-6H17M10 10.5L7 17",
  },
  { path: "/usage", name: "Usage and cost", icon: "M6 3h12v18l-3-2-3 2-3-2-3 2zM9 8h6M9 12h6" },
  { path: "/audit", name: "Audit", icon: "M12 3l8 3v6c0 5-4 8-8 9-4-1-8-4-8-9V6zM9 12l2 2 4-4" },
  {
    path: "/teams",
    name: "Teams",
    icon: "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20c0-3.5 3-6 6.5-6s6.5 2.5 6.5 6M16 4.5a3.5 3.5 0 0 1 0 6.5M18 14.5c2.2.8 3.5 3 3.5 5.5",
  },
];
