"""How much was called, how it went, and what it costs."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import names
from cli.completion import deployment_names
from cli.connection import connect
from cli.failures import ExitCode, Failed
from cli.options import Everything, From, Json, Limit, OneDeployment, Team, To
from cli.terminal import bytes_text, facts, field, put, put_json, say, table
from cli.times import moment_of

if TYPE_CHECKING:
    from cli.client import Client


def overview(
    *,
    start: From = None,
    end: To = None,
    deployment: OneDeployment = None,
    key: Annotated[str | None, typer.Option(help="Only this key's, by id or name.")] = None,
    team: Team = None,
    json: Json = False,
) -> None:
    """Show the requests of the last day, or of another span, in numbers."""
    with connect() as api:
        found = api.get(
            "/analytics/overview",
            **{"from": moment_of(start), "to": moment_of(end)},
            deploymentId=names.deployment_id(api, deployment) if deployment else None,
            keyId=names.key_id(api, key) if key else None,
            teamId=names.team_id(api, team),
        )
    if json:
        put_json(found)
        return
    totals = found["totals"]
    facts(
        ("From", found["from"]),
        ("To", found["to"]),
        ("Requests", str(totals["requests"])),
        ("Served", str(totals["billable"])),
        ("Errors", f"{totals['errors']} ({totals['errorRate']:.2%})"),
        ("Refused", f"{totals['clientErrors']} ({totals['clientErrorRate']:.2%})"),
        ("Latency", _latency(totals)),
        ("By status", found["byStatus"]),
    )
    if found["topEndpoints"]:
        put("")
        table(
            found["topEndpoints"],
            ("method", field("method")),
            ("path", field("path")),
            ("requests", lambda row: row["totals"]["requests"]),
            ("errors", lambda row: row["totals"]["errors"]),
            ("latency", lambda row: _latency(row["totals"])),
            none="",
        )


def requests(
    *,
    start: From = None,
    end: To = None,
    deployment: OneDeployment = None,
    key: Annotated[str | None, typer.Option(help="Only this key's, by id or name.")] = None,
    status: Annotated[
        str | None, typer.Option(help="Only with this answer: 404, or all of a kind: 5xx.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="Only of this method.")] = None,
    path: Annotated[str | None, typer.Option(help="Only where the path begins so.")] = None,
    request_id: Annotated[
        str | None, typer.Option("--id", help="The one with this X-Request-Id.")
    ] = None,
    slowest: Annotated[bool, typer.Option("--slowest", help="The slowest first.")] = False,
    team: Team = None,
    limit: Limit = 50,
    everything: Everything = False,
    json: Json = False,
) -> None:
    """List single requests of the last day, or of another span, newest first."""
    with connect() as api:
        page = api.listed(
            "/analytics/requests/raw",
            "requests",
            limit=limit,
            everything=everything,
            **{"from": moment_of(start), "to": moment_of(end)},
            deploymentId=names.deployment_id(api, deployment) if deployment else None,
            keyId=names.key_id(api, key) if key else None,
            status=status,
            method=method.upper() if method else None,
            path=path,
            requestId=request_id,
            sort="-totalMs" if slowest else None,
            teamId=names.team_id(api, team),
        )
    if json:
        put_json(page.answer)
        return
    table(
        page.rows,
        ("time", field("time")),
        ("method", field("method")),
        ("path", field("path")),
        ("status", field("status")),
        ("took", lambda row: f"{row['totalMs']} ms"),
        ("refused", field("refused")),
        ("key", field("keyId")),
        ("request", field("requestId")),
        none="Nothing was called.",
    )
    if page.total > len(page.rows):
        say(f"{len(page.rows)} of {page.total}; --all for all of them.")


def usage(*, start: From = None, end: To = None, team: Team = None, json: Json = False) -> None:
    """Show how much was served this month, or in another span, by deployment."""
    with connect() as api:
        found = api.get(
            "/usage",
            **{"from": moment_of(start), "to": moment_of(end)},
            teamId=names.team_id(api, team),
        )
        called = _names(api) if not json else {}
    if json:
        put_json(found)
        return
    rows = [*found["byDeployment"], {"deploymentId": "all", **found["totals"]}]
    table(
        rows,
        ("deployment", lambda row: called.get(row["deploymentId"], row["deploymentId"] or "none")),
        ("requests", field("requests")),
        ("billable", field("billable")),
        ("refused", field("clientErrors")),
        ("errors", field("serverErrors")),
        ("received", lambda row: bytes_text(row["bytesIn"])),
        ("sent", lambda row: bytes_text(row["bytesOut"])),
        none="",
    )


def estimate(
    deployment: Annotated[
        str | None,
        typer.Argument(
            help="What this one costs a month; this month's bill unless given.",
            autocompletion=deployment_names,
        ),
    ] = None,
    *,
    replicas: Annotated[int | None, typer.Option(min=0, help="With so many replicas.")] = None,
    cpu: Annotated[str | None, typer.Option(help="With so much processor each: 250m.")] = None,
    memory: Annotated[str | None, typer.Option(help="With so much memory each: 256Mi.")] = None,
    requests: Annotated[
        int | None, typer.Option(min=0, help="With so many requests a month.")
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="What a deployment would cost that is not there yet.")
    ] = False,
    team: Team = None,
    json: Json = False,
) -> None:
    """Show what this month has cost so far, or what a deployment costs, or would."""
    wish = {
        "replicas": replicas,
        "requestsPerMonth": requests,
        "resources": {k: v for k, v in (("cpu", cpu), ("memory", memory)) if v is not None} or None,
    }
    if deployment is not None or new:
        if deployment is not None and new:
            raise Failed("Say a deployment or --new, not both.", code=ExitCode.USAGE)
        _estimate_of(deployment, wish, team=team, json=json)
        return
    if any(value is not None for value in wish.values()):
        raise Failed("Say which deployment, or --new.", code=ExitCode.USAGE)
    with connect() as api:
        found = api.get("/billing/estimate", teamId=names.team_id(api, team))
        called = _names(api) if not json else {}
    if json:
        put_json(found)
        return
    rows = [*found["lines"], {"description": "Total", "amount": found["total"]}]
    table(
        rows,
        ("what", field("description")),
        (
            "deployment",
            lambda row: called.get(row.get("deploymentId", ""), row.get("deploymentId")),
        ),
        ("quantity", field("quantity")),
        (found["currency"], field("amount")),
        none="",
    )


def _estimate_of(
    deployment: str | None, wish: dict[str, Any], *, team: str | None, json: bool
) -> None:
    """Show what a month costs with it as it is, and as it shall be."""
    with connect() as api:
        body = {
            **wish,
            "deploymentId": names.deployment_id(api, deployment) if deployment else None,
            "teamId": names.team_id(api, team),
        }
        found = api.post("/estimate", {k: v for k, v in body.items() if v is not None})
    if json:
        put_json(found)
        return
    before, after = found["before"], found["after"]
    sizes = [(name, before[name], after[name]) for name in ("replicas", "cpu", "memory")]
    sizes.append(("requests a month", before["requests"], after["requests"]))
    costs = [
        (f"{found['currency']} for {name}", before["perMonth"][name], after["perMonth"][name])
        for name in ("compute", "requests", "total")
    ]
    table(
        [{"what": name, "now": now, "then": then} for name, now, then in (*sizes, *costs)],
        ("a month", field("what")),
        ("now", field("now")),
        ("then", field("then")),
        none="",
    )
    for line in found["assumptions"]:
        say(line)


def _names(api: "Client") -> dict[str | None, str]:
    """Return what deployments are called."""
    return {row["id"]: row["appName"] for row in api.each("/deployments", "deployments")}


def _latency(totals: dict[str, Any]) -> str:
    latency = totals["latency"]
    if latency is None:
        return "-"
    return ", ".join(f"{name} {latency[name]:.0f} ms" for name in ("p50", "p95", "p99"))
