"""Teams, who is in them, and who is asked to join."""

from typing import Annotated

import typer

from cli import names
from cli.connection import connect
from cli.options import Everything, Json, Limit, TeamName, Yes
from cli.terminal import confirm, confirm_by_name, field, moment, put, put_json, say, table

Role = Annotated[str, typer.Option("--role", help="owner, admin, developer or viewer.")]
Member = Annotated[str, typer.Argument(metavar="MEMBER", help="Username or id; `me` is you.")]
Invited = Annotated[str, typer.Argument(metavar="INVITATION", help="Its id.")]
MEMBERS_PATH = "/teams/{}/members"


def list_teams(*, limit: Limit = 100, everything: Everything = False, json: Json = False) -> None:
    """List the teams that you are in."""
    with connect() as api:
        page = api.listed("/teams", "teams", limit=limit, everything=everything)
    if json:
        put_json(page.answer)
        return
    table(
        page.rows,
        ("name", field("name")),
        ("id", field("id")),
        ("you are", field("role")),
        ("personal", field("personal")),
        ("created", moment("createdAt")),
        none="There are none.",
    )


def create(name: str, *, json: Json = False) -> None:
    """Found a team. You are its owner."""
    with connect() as api:
        made = api.post("/teams", {"name": name})
    if json:
        put_json(made)
    else:
        put(made["id"])


def rename(team: TeamName, name: str, *, json: Json = False) -> None:
    """Call a team something else."""
    with connect() as api:
        answer = api.patch(f"/teams/{names.team_id(api, team)}", {"name": name})
    if json:
        put_json(answer)
    else:
        say(f"It is called {answer['name']} now.")


def delete(team: TeamName, *, yes: Yes = False, json: Json = False) -> None:
    """Let a team be no more. It must have no deployments and no keys left."""
    with connect() as api:
        found = api.get(f"/teams/{names.team_id(api, team)}")
        confirm_by_name(f"The team {found['name']} will be gone.", found["name"], yes=yes)
        answer = api.delete(f"/teams/{found['id']}")
    _told(answer, json=json)


def quota(team: TeamName, *, json: Json = False) -> None:
    """Show how much a team may run at once, and how much it runs."""
    with connect() as api:
        found = api.get(f"/teams/{names.team_id(api, team)}/quota")
    if json:
        put_json(found)
        return
    table(
        [{"what": what, **found[what]} for what in ("deployments", "replicas", "cpu", "memory")],
        ("what", field("what")),
        ("used", field("used")),
        ("limit", field("limit")),
        none="",
    )


def members(
    team: TeamName, *, limit: Limit = 100, everything: Everything = False, json: Json = False
) -> None:
    """List who is in a team."""
    with connect() as api:
        path = MEMBERS_PATH.format(names.team_id(api, team))
        page = api.listed(path, "members", limit=limit, everything=everything)
    if json:
        put_json(page.answer)
        return
    table(
        page.rows,
        ("username", field("username")),
        ("id", field("userId")),
        ("role", field("role")),
        ("since", moment("since")),
        none="Nobody is in it.",
    )


def change_role(
    team: TeamName,
    member: Member,
    role: Annotated[str, typer.Argument(help="owner, admin, developer or viewer.")],
    *,
    json: Json = False,
) -> None:
    """Change what a member is."""
    with connect() as api:
        found = str(names.team_id(api, team))
        path = f"{MEMBERS_PATH.format(found)}/{names.member_id(api, found, member)}"
        answer = api.patch(path, {"role": role})
    if json:
        put_json(answer)
    else:
        say(f"{member} is {answer['role']} now.")


def remove(team: TeamName, member: Member, *, yes: Yes = False, json: Json = False) -> None:
    """Put a member out of a team; `me` leaves it."""
    with connect() as api:
        found = str(names.team_id(api, team))
        path = f"{MEMBERS_PATH.format(found)}/{names.member_id(api, found, member)}"
        confirm(
            f"Put {member} out of {team}? Keys they made end, but for those that only call.",
            yes=yes,
        )
        answer = api.delete(path)
    _told(answer, json=json)


def invite(team: TeamName, email: str, *, role: Role = "developer", json: Json = False) -> None:
    """Ask somebody, by mail, to join a team."""
    with connect() as api:
        path = f"/teams/{names.team_id(api, team)}/invitations"
        made = api.post(path, {"email": email, "role": role})
    if json:
        put_json(made)
    else:
        say(f"{email} is asked to join as {made['role']}, until {made['expiresAt']}.")
        put(made["id"])


def list_invitations(
    team: TeamName, *, limit: Limit = 100, everything: Everything = False, json: Json = False
) -> None:
    """List the invitations to a team that nobody accepted yet."""
    with connect() as api:
        path = f"/teams/{names.team_id(api, team)}/invitations"
        page = api.listed(path, "invitations", limit=limit, everything=everything)
    if json:
        put_json(page.answer)
        return
    table(
        page.rows,
        ("e-mail", field("email")),
        ("id", field("id")),
        ("role", field("role")),
        ("by", field("invitedBy")),
        ("ends", moment("expiresAt")),
        none="Nobody is asked to join.",
    )


def revoke_invitation(
    team: TeamName, invitation: Invited, *, yes: Yes = False, json: Json = False
) -> None:
    """Take an invitation back: its link opens nothing any more."""
    with connect() as api:
        path = f"/teams/{names.team_id(api, team)}/invitations/{invitation}"
        confirm(f"Take {invitation} back?", yes=yes)
        answer = api.delete(path)
    _told(answer, json=json)


def accept_invitation(
    token: Annotated[str, typer.Argument(help="The last part of the link in the mail.")],
    *,
    json: Json = False,
) -> None:
    """Join the team that you were asked to join."""
    with connect() as api:
        joined = api.post(f"/invitations/{token.rpartition('/')[2].rpartition('#')[2]}/accept")
    if json:
        put_json(joined)
    else:
        say(f"You are {joined['role']} in {joined['name']} ({joined['teamId']}).")


def _told(answer: dict[str, str], *, json: bool) -> None:
    if json:
        put_json(answer)
    else:
        say(f"{answer['message']}.")
