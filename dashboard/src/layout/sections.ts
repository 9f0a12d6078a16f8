/** The sections, in the order in which they are shown. */

export interface Section {
  path: string;
  name: string;
  /** Drawn on 24 by 24. */
  icon: string;
}

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
];
