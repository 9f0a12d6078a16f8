"""How much was called, how it went, and what it costs."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import names
from cli.connection import connect
from cli.options import From, Json, OneDeployment, Team, To
from cli.terminal import bytes_text, facts, field, put, put_json, table
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


def estimate(*, team: Team = None, json: Json = False) -> None:
    """Show what this month has cost so far."""
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


def _names(api: "Client") -> dict[str | None, str]:
    """Return what deployments are called."""
    return {row["id"]: row["appName"] for row in api.each("/deployments", "deployments")}


def _latency(totals: dict[str, Any]) -> str:
    latency = totals["latency"]
    if latency is None:
        return "-"
    return ", ".join(f"{name} {latency[name]:.0f} ms" for name in ("p50", "p95", "p99"))
