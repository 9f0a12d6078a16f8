import { useState, type ReactNode } from "react";
import { api, ok } from "../api/client";
import { useLive, useLiveSocket, useLiveState } from "../api/live";
import { useLoad } from "../api/useLoad";
import { Button } from "../components/Button";
import mark from "../mark.svg";
import { Link, usePath } from "../routing/router";
import { signedOut, type User } from "../session/session";
import { useTeams } from "../session/teams";
import { Banners } from "./Banners";
import { ADMIN_SECTIONS, MAILBOX, SECTIONS, type Section } from "./sections";
import { chooseTheme, theme, type Theme } from "./theme";

/** What stands around every page of who is signed in. */
export function Shell({ user, children }: { user: User; children: ReactNode }) {
  useLiveSocket();
  const path = usePath();
  const [openAt, setOpenAt] = useState<string>();
  const open = openAt === path; // it closes by going somewhere
  const alerts = useOpenAlerts();
  const profile = useLoad("who", (signal) => ok(api.GET("/v1/user/profile", { signal })));
  return (
    <div className="shell">
      <a className="button skip" href="#content">
        Skip to the content
      </a>
      <div className="topbar">
        <Brand />
        <Button
          look="secondary"
          small
          aria-expanded={open}
          aria-controls="side"
          onClick={() => setOpenAt(open ? undefined : path)}
        >
          {open ? "Close" : "Menu"}
        </Button>
      </div>
      <div className={open ? "side open" : "side"} id="side">
        <div className="wide-only">
          <Brand />
        </div>
        <TeamChoice />
        <Sections label="Sections" sections={SECTIONS} path={path} counts={{ "/alerts": alerts }} />
        {profile.data?.platformAdmin && (
          <Sections
            label="Administration"
            sections={profile.data.mailboxKept ? [...ADMIN_SECTIONS, MAILBOX] : ADMIN_SECTIONS}
            path={path}
          />
        )}
        <div className="foot">
          <LiveNote />
          <a href="/help" className="small help">
            Help
          </a>
          <ThemeChoice />
          <UserMenu user={user} />
        </div>
      </div>
      <main id="content">
        <Banners />
        {children}
      </main>
    </div>
  );
}

function Brand() {
  return (
    <Link to="/" className="brand">
      <img src={mark} alt="" width={28} height={28} />
      Tallyport
    </Link>
  );
}

function TeamChoice() {
  const { teams, team, choose } = useTeams();
  if (teams.length < 2) return null;
  return (
    <div className="field">
      <label htmlFor="team">Team</label>
      <select id="team" value={team.id} onChange={(event) => choose(event.target.value)}>
        {teams.map((one) => (
          <option key={one.id} value={one.id}>
            {one.name}
          </option>
        ))}
      </select>
    </div>
  );
}

/** Returns how many alerts of the team are open. */
function useOpenAlerts(): number {
  const { team } = useTeams();
  const open = useLoad(`open alerts ${team.id}`, (signal) =>
    ok(
      api.GET("/v1/alerts", {
        params: { query: { teamId: team.id, state: "open", limit: 1 } },
        signal,
      }),
    ),
  );
  useLive(
    (event) => event.teamId === team.id && event.type.startsWith("alert."),
    () => open.reload(),
  );
  return open.data?.pagination.total ?? 0;
}

function Sections({
  label,
  sections,
  path,
  counts = {},
}: {
  label: string;
  sections: readonly Section[];
  path: string;
  /** What waits to be seen in a section. */
  counts?: Readonly<Record<string, number>>;
}) {
  return (
    <nav aria-label={label}>
      <ul className="sections">
        {sections.map((section) => {
          const here = section.path === "/" ? path === "/" : path.startsWith(section.path);
          return (
            <li key={section.path}>
              <Link to={section.path} aria-current={here ? "page" : undefined}>
                <svg viewBox="0 0 24 24" aria-hidden>
                  <path d={section.icon} />
                </svg>
                {section.name}
                {Boolean(counts[section.path]) && (
                  <span className="badge plain bad count">
                    {counts[section.path]}
                    <span className="visually-hidden"> open</span>
                  </span>
                )}
              </Link>
            </li>
          );
        })}
      </ul>
    </nav>
  );
}

/** Says so when what is shown may be old. */
function LiveNote() {
  const state = useLiveState();
  return (
    <div role="status" className="small soft">
      {state === "waiting" && "Not connected; trying again …"}
    </div>
  );
}

const THEMES: ReadonlyArray<{ value: Theme; name: string }> = [
  { value: "system", name: "System colours" },
  { value: "light", name: "Light colours" },
  { value: "dark", name: "Dark colours" },
];

function ThemeChoice() {
  const [chosen, setChosen] = useState(theme);
  return (
    <select
      aria-label="Colours"
      value={chosen}
      onChange={(event) => {
        const next = event.target.value as Theme;
        chooseTheme(next);
        setChosen(next);
      }}
    >
      {THEMES.map((one) => (
        <option key={one.value} value={one.value}>
          {one.name}
        </option>
      ))}
    </select>
  );
}

function UserMenu({ user }: { user: User }) {
  return (
    <div className="stack tight">
      <Link to="/profile" className="user wrap">
        <strong>{user.username}</strong>
        <span className="soft small">{user.email}</span>
      </Link>
      <Button
        look="secondary"
        small
        onClick={() => {
          void api.POST("/v1/auth/logout").finally(() => signedOut());
        }}
      >
        Sign out
      </Button>
    </div>
  );
}
