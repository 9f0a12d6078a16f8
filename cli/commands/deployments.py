"""What runs: looked at, scaled, stopped, rolled back, deleted."""

from typing import Annotated, Any

import typer

from cli import names
from cli.connection import connect
from cli.following import until_live, until_status
from cli.options import (
    Deployment,
    Everything,
    From,
    Json,
    Limit,
    NoWait,
    Seconds,
    Team,
    TeamName,
    To,
    Yes,
)
from cli.terminal import (
    ago,
    bytes_text,
    confirm,
    confirm_by_name,
    facts,
    field,
    moment,
    put,
    put_json,
    say,
    table,
)
from cli.times import moment_of

STATUSES = "pending, running, updating, scaling, stopping, stopped, starting, failed, deleting"


def list_deployments(
    *,
    status: Annotated[str | None, typer.Option(help=f"Only those that are {STATUSES}.")] = None,
    team: Team = None,
    limit: Limit = 100,
    everything: Everything = False,
    json: Json = False,
) -> None:
    """List the deployments."""
    with connect() as api:
        page = api.listed(
            "/deployments",
            "deployments",
            limit=limit,
            everything=everything,
            status=status,
            teamId=names.team_id(api, team),
        )
    if json:
        put_json(page.answer)
        return
    table(
        page.rows,
        ("name", field("appName")),
        ("status", field("status")),
        ("replicas", field("replicas")),
        ("image", lambda row: _short_image(row["image"])),
        ("updated", moment("updatedAt")),
        ("url", field("url")),
        none="Nothing is deployed. `tallyport deploy` deploys the folder you are in.",
    )
    if page.total > len(page.rows):
        say(f"{len(page.rows)} of {page.total}; --all for all of them.")


def show(
    deployment: Deployment,
    *,
    as_of: Annotated[
        str | None, typer.Option(help="As it was then: a time, 2h ago, or a position of the log.")
    ] = None,
    json: Json = False,
) -> None:
    """Show one deployment, as it is or as it was."""
    then = as_of if as_of is None or as_of.isdecimal() else moment_of(as_of)
    with connect() as api:
        found = api.get(f"/deployments/{names.deployment_id(api, deployment)}", asOf=then)
    if json:
        put_json(found)
        return
    check = found["healthCheck"]
    facts(
        ("Name", found["appName"]),
        ("Id", found["id"]),
        ("Status", found["status"]),
        ("Failure", found["failure"]),
        ("URL", found["url"]),
        ("Image", found["image"]),
        ("Port", found["port"]),
        ("Replicas", found["replicas"]),
        ("Revision", _revision_text(found)),
        ("Callable", "by all" if found["visibility"] == "public" else "with a key"),
        ("Each may use", _resources_text(found["resources"])),
        ("Health check", check["path"] if check else "an open port"),
        ("Variables", sorted(found["envVars"])),
        ("Team", found["teamId"]),
        ("Created", ago(found["createdAt"])),
        ("Updated", ago(found["updatedAt"])),
    )


def show_status(deployment: Deployment, *, json: Json = False) -> None:
    """Show how the replicas of a deployment are."""
    with connect() as api:
        found = api.get(f"/deployments/{names.deployment_id(api, deployment)}/status")
    if json:
        put_json(found)
        return
    replicas = found["replicas"]
    facts(
        ("Status", found["status"]),
        ("Health", found["health"]),
        ("Failure", found["failure"]),
        ("Replicas", f"{replicas['ready']} of {replicas['desired']} ready"),
        ("Up for", found["uptime"]),
        ("Restarts", str(found["restartCount"])),
    )
    if found["instances"]:
        put("")
        table(
            found["instances"],
            ("replica", field("id")),
            ("revision", field("revision")),
            ("phase", field("phase")),
            ("ready", moment("readyAt")),
            ("restarts", field("restarts")),
            none="",
        )


def scale(
    deployment: Deployment,
    replicas: Annotated[int, typer.Argument(min=0, help="How many shall run.")],
    *,
    no_wait: NoWait = False,
    timeout: Seconds = 300,
    json: Json = False,
) -> None:
    """Run another number of replicas."""
    with connect() as api:
        found = names.deployment_id(api, deployment)
        answer = api.patch(f"/deployments/{found}/scale", {"replicas": replicas})
        if not no_wait:
            answer = until_status(api, found, "running", seconds=timeout, replicas=replicas)
    _tell(
        answer,
        f"{deployment} runs with {replicas} replica{'' if replicas == 1 else 's'}.",
        no_wait=no_wait,
        json=json,
    )


def stop(
    deployment: Deployment,
    *,
    no_wait: NoWait = False,
    timeout: Seconds = 300,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Run nothing of a deployment, but keep it."""
    confirm(f"Stop {deployment}? Who calls it gets errors until it is started again.", yes=yes)
    _act(deployment, "stop", "stopped", no_wait=no_wait, timeout=timeout, json=json)


def start(
    deployment: Deployment, *, no_wait: NoWait = False, timeout: Seconds = 300, json: Json = False
) -> None:
    """Run a stopped deployment again."""
    _act(deployment, "start", "running", no_wait=no_wait, timeout=timeout, json=json)


def restart(
    deployment: Deployment, *, no_wait: NoWait = False, timeout: Seconds = 300, json: Json = False
) -> None:
    """Replace all replicas, a few at a time."""
    _act(deployment, "restart", "running", no_wait=no_wait, timeout=timeout, json=json)


def roll_back(
    deployment: Deployment,
    revision: Annotated[
        int | None, typer.Argument(min=1, help="Which; the last one that was live unless given.")
    ] = None,
    *,
    no_wait: NoWait = False,
    timeout: Seconds = 300,
    json: Json = False,
) -> None:
    """Run an earlier revision again."""
    with connect() as api:
        found = names.deployment_id(api, deployment)
        body = {"revision": revision} if revision is not None else None
        answer = api.post(f"/deployments/{found}/rollback", body)
        number = answer["revision"]
        if not no_wait:
            answer = until_live(api, found, number, seconds=timeout)
    _tell(answer, f"{deployment} is live as revision {number}.", no_wait=no_wait, json=json)


def transfer(
    deployment: Deployment,
    team: TeamName,
    *,
    no_wait: NoWait = False,
    timeout: Seconds = 300,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Give a deployment to another team, where you may deploy too. It runs anew there."""
    with connect() as api:
        found = names.deployment_id(api, deployment)
        to = names.team_id(api, team)
        confirm(f"Give {deployment} to {team}? Keys of its team do not open it there.", yes=yes)
        answer = api.post(f"/deployments/{found}/transfer", {"teamId": to})
        if not no_wait:
            answer = until_live(api, found, answer["revision"], seconds=timeout)
    _tell(answer, f"{deployment} runs for {team}.", no_wait=no_wait, json=json)


def revisions(
    deployment: Deployment,
    *,
    limit: Limit = 20,
    everything: Everything = False,
    json: Json = False,
) -> None:
    """List what ran, what runs and what failed to run, newest first."""
    with connect() as api:
        path = f"/deployments/{names.deployment_id(api, deployment)}/revisions"
        page = api.listed(path, "revisions", limit=limit, everything=everything)
    if json:
        put_json(page.answer)
        return
    table(
        page.rows,
        ("revision", field("revision")),
        ("status", field("status")),
        ("why", field("cause")),
        ("image", lambda row: _short_image(row["image"])),
        ("by", field("requestedBy")),
        ("when", moment("requestedAt")),
        ("failure", lambda row: (row["failure"] or "-").splitlines()[0]),
        none="It has no revisions.",
    )


def delete(deployment: Deployment, *, yes: Yes = False, json: Json = False) -> None:
    """Delete a deployment: its containers, its URL and its routes."""
    with connect() as api:
        found = names.deployment(api, deployment)
        name = found["appName"]
        confirm_by_name(f"{name} at {found['url']} will be gone, for good.", name, yes=yes)
        answer = api.delete(f"/deployments/{found['id']}")
    if json:
        put_json(answer)
    else:
        say(f"{name}: {answer['message']}.")


def metrics(
    deployment: Deployment,
    *,
    start: From = None,
    end: To = None,
    resolution: Annotated[
        str | None, typer.Option(help="A point for every 1m, 5m, 1h or 1d.")
    ] = None,
    json: Json = False,
) -> None:
    """Show what a deployment uses and serves: the newest points of each series."""
    query = {"from": moment_of(start), "to": moment_of(end), "resolution": resolution}
    with connect() as api:
        path = f"/deployments/{names.deployment_id(api, deployment)}/metrics"
        answer = api.get(path, **query)
    if json:
        put_json(answer)
        return
    rows = [
        {"series": name, **_summary(name, points)}
        for name, points in answer["metrics"].items()
        if isinstance(points, list)
    ]
    table(
        rows,
        ("series", field("series")),
        ("now", field("now")),
        ("lowest", field("lowest")),
        ("highest", field("highest")),
        ("points", field("points")),
        none="Nothing was measured yet.",
    )


def _act(
    deployment: str, what: str, target: str, *, no_wait: bool, timeout: int, json: bool
) -> None:
    with connect() as api:
        found = names.deployment_id(api, deployment)
        answer = api.post(f"/deployments/{found}/{what}")
        if not no_wait:
            answer = until_status(api, found, target, seconds=timeout)
    _tell(answer, f"{deployment} is {target}.", no_wait=no_wait, json=json)


def _tell(answer: dict[str, Any], done: str, *, no_wait: bool, json: bool) -> None:
    if json:
        put_json(answer)
    else:
        say(f"{answer['message']}." if no_wait else done)


def _revision_text(found: dict[str, Any]) -> str:
    live = found["liveRevision"]
    if live == found["revision"]:
        return f"{live}, live"
    return f"{found['revision']}, {f'{live} is live' if live else 'none is live'}"


def _resources_text(found: dict[str, Any]) -> str:
    return (
        f"{found['cpu']} CPU, {found['memory']}, {found['storage']} of it for files,"
        f" {found['pids']} processes and threads"
    )


def _short_image(image: str) -> str:
    """Return an image without most of a digest: nobody reads that."""
    name, at, digest = image.rpartition(":")
    return f"{name}{at}{digest[:12]}" if len(digest) == 64 else image  # noqa: PLR2004 - SHA-256


def _summary(name: str, points: list[dict[str, Any]]) -> dict[str, str]:
    known = [point["value"] for point in points if point["value"] is not None]
    if not known:
        return {"now": "-", "lowest": "-", "highest": "-", "points": "0"}

    def text(value: float) -> str:
        return bytes_text(int(value)) if "memory" in name.lower() else f"{value:g}"

    return {
        "now": text(known[-1]),
        "lowest": text(min(known)),
        "highest": text(max(known)),
        "points": str(len(known)),
    }
