"""API keys: made, shown, given a new secret, revoked."""

from typing import Annotated, Any

import typer

from cli import names
from cli.connection import connect
from cli.failures import ExitCode, Failed
from cli.options import Everything, Json, Key, Limit, Team, Yes
from cli.terminal import ago, confirm, facts, field, moment, put, put_json, say, table
from cli.times import lifetime_of, seconds_of

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Write the secret and nothing else.")]


def list_keys(
    *,
    team: Team = None,
    limit: Limit = 100,
    everything: Everything = False,
    json: Json = False,
) -> None:
    """List the keys that were not revoked."""
    with connect() as api:
        page = api.listed(
            "/api-keys",
            "apiKeys",
            limit=limit,
            everything=everything,
            teamId=names.team_id(api, team),
        )
    if json:
        put_json(page.answer)
        return
    table(
        page.rows,
        ("name", field("name")),
        ("id", field("id")),
        ("begins with", field("prefix")),
        ("scopes", field("scopes")),
        ("used", moment("lastUsed")),
        ("requests", field("requestCount")),
        ("expires", moment("expiresAt")),
        none="There are no keys. `tallyport keys create NAME` makes one.",
    )
    if page.total > len(page.rows):
        say(f"{len(page.rows)} of {page.total}; --all for all of them.")


def create(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    *,
    scope: Annotated[
        list[str], typer.Option("--scope", help="What it may do, as `call:*`; repeatable.")
    ] = [],  # noqa: B006 - typer takes nothing else for a list
    deployment: Annotated[
        str | None, typer.Option(help="Let it call this one deployment only, by name or id.")
    ] = None,
    expires: Annotated[str | None, typer.Option(help="When it ends: 30d, or a time.")] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Requests a minute at the gateway.")
    ] = None,
    network: Annotated[
        list[str], typer.Option("--network", help="From where it may be used; repeatable.")
    ] = [],  # noqa: B006 - the same
    description: Annotated[str | None, typer.Option(help="More about it.")] = None,
    team: Team = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Make a key. Its secret is shown now and never again."""
    with connect() as api:
        body = {
            "name": name,
            "description": description,
            "scopes": scope or None,
            "deploymentId": names.deployment_id(api, deployment) if deployment else None,
            "expiresAt": lifetime_of(expires),
            "requestsPerMinute": limit,
            "allowedCidrs": network or None,
            "teamId": names.team_id(api, team),
        }
        made = api.post("/api-keys", {k: v for k, v in body.items() if v is not None})
    _shown_once(made, quiet=quiet, json=json)


def show(key: Key, *, json: Json = False) -> None:
    """Show a key and its use, without its secret."""
    with connect() as api:
        found = api.get(f"/api-keys/{names.key_id(api, key)}")
    if json:
        put_json(found)
        return
    facts(
        ("Name", found["name"]),
        ("Id", found["id"]),
        ("About", found["description"]),
        ("Begins with", found["prefix"]),
        ("Scopes", found["scopes"]),
        ("From", found["allowedCidrs"] or "everywhere"),
        ("Requests a minute", found["requestsPerMinute"]),
        ("Expires", ago(found["expiresAt"]) if found["expiresAt"] else "never"),
        ("Made", f"{ago(found['createdAt'])} by {found['createdBy']}"),
        ("Used", ago(found["lastUsed"]) if found["lastUsed"] else "never"),
        ("Requests", str(found["requestCount"])),
        ("Old secret works until", found["previousUntil"]),
        ("Reported as leaked", found["leakedAt"]),
    )


def update(
    key: Key,
    *,
    name: Annotated[str | None, typer.Option(help="What it is called from now on.")] = None,
    description: Annotated[str | None, typer.Option(help="More about it; '' for nothing.")] = None,
    scope: Annotated[
        list[str], typer.Option("--scope", help="All that it may do from now on; repeatable.")
    ] = [],  # noqa: B006 - typer takes nothing else for a list
    expires: Annotated[
        str | None, typer.Option(help="When it ends: 30d, a time, or never.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Requests a minute at the gateway.")
    ] = None,
    network: Annotated[
        list[str],
        typer.Option("--network", help="From where alone it may be used, or any; repeatable."),
    ] = [],  # noqa: B006 - the same
    json: Json = False,
) -> None:
    """Change what a key may do. It acts within a second; the secret stays."""
    body: dict[str, Any] = {}
    if name is not None:
        body["name"] = name
    if description is not None:
        body["description"] = description or None
    if scope:
        body["scopes"] = scope
    if expires is not None:
        body["expiresAt"] = None if expires == "never" else lifetime_of(expires)
    if limit is not None:
        body["requestsPerMinute"] = limit
    if network:
        body["allowedCidrs"] = None if network == ["any"] else network
    if not body:
        raise Failed("Say what shall be different.", code=ExitCode.USAGE)
    with connect() as api:
        changed = api.patch(f"/api-keys/{names.key_id(api, key)}", body)
    if json:
        put_json(changed)
    else:
        say(f"{changed['name']} ({changed['id']}) is changed.")


def rotate(
    key: Key,
    *,
    grace: Annotated[
        str, typer.Option(help="How long the old secret works on: 30m, 24h; 0s ends it at once.")
    ] = "24h",
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Give a key a new secret, shown now and never again; the old one works on for a while."""
    seconds = seconds_of(grace)
    with connect() as api:
        path = f"/api-keys/{names.key_id(api, key)}/rotate"
        made = api.post(path, {"graceSeconds": seconds})
    _shown_once(made, quiet=quiet, json=json)
    if made["previousUntil"] and not quiet:
        say(f"The old secret works until {made['previousUntil']}.")


def revoke(key: Key, *, yes: Yes = False, json: Json = False) -> None:
    """Shut a key out, here and at every gateway, within a second. It never comes back."""
    with connect() as api:
        found = names.key_id(api, key)
        confirm(f"Revoke {key}? Whoever uses it is shut out, for good.", yes=yes)
        answer = api.delete(f"/api-keys/{found}")
    if json:
        put_json(answer)
    else:
        say(f"{answer['message']}.")


def _shown_once(made: dict[str, Any], *, quiet: bool, json: bool) -> None:
    if json:
        put_json(made)
    elif quiet:
        put(made["apiKey"])
    else:
        say(f"{made['name']} ({made['id']}), may {', '.join(made['scopes'])}. Its secret:")
        put(made["apiKey"])
        say("It is not shown again.")
