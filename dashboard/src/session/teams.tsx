/** The teams of who is signed in, and the one whose things are shown. */
import { createContext, useContext, useMemo, useState, type ReactNode } from "react";
import { api, ok, type Schema } from "../api/client";
import { useLoad } from "../api/useLoad";
import { FailureNotice, Loading } from "../components/Notice";

export type Team = Schema["Team"];

export interface Teams {
  teams: readonly Team[];
  team: Team;
  choose: (teamId: string) => void;
  reload: () => void;
}

const KEPT = "tallyport-team";
const Context = createContext<Teams | undefined>(undefined);

export function TeamsProvider({ children }: { children: ReactNode }) {
  const loaded = useLoad("teams", () =>
    ok(api.GET("/v1/teams", { params: { query: { limit: 100 } } })),
  );
  const [chosen, setChosen] = useState(() => localStorage.getItem(KEPT));
  const teams = loaded.data?.teams;
  const team =
    teams?.find((one) => one.id === chosen) ?? teams?.find((one) => one.personal) ?? teams?.[0];
  const { reload } = loaded;
  const value = useMemo(() => {
    if (!teams || !team) return undefined;
    const choose = (teamId: string) => {
      localStorage.setItem(KEPT, teamId);
      setChosen(teamId);
    };
    return { teams, team, choose, reload };
  }, [teams, team, reload]);
  if (!value) {
    return (
      <main>
        <FailureNotice failure={loaded.failure} retry={loaded.reload} />
        {!loaded.failure && <Loading />}
      </main>
    );
  }
  return <Context value={value}>{children}</Context>;
}

export function useTeams(): Teams {
  const teams = useContext(Context);
  if (!teams) throw new Error("only for who is signed in");
  return teams;
}

/** Whether one may change things of the team: its buttons are not shown to others. */
export function mayWrite(team: Team): boolean {
  return team.role !== "viewer" && team.role !== null;
}

/** Whether one may say who belongs to the team. */
export function mayManage(team: Team): boolean {
  return team.role === "owner" || team.role === "admin";
}
