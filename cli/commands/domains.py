"""Names of one's own under which a deployment answers."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import names
from cli.connection import connect
from cli.failures import Failed
from cli.options import Deployment, Domain, Everything, Json, Limit, NoWait, Yes
from cli.terminal import confirm, facts, field, moment, put, put_json, say, table, working

if TYPE_CHECKING:
    from cli.client import Client

Wait = Annotated[
    int, typer.Option("--timeout", min=1, help="For how many seconds to wait at most.")
]
POLL_SECONDS = 1.0


def add(deployment: Deployment, domain: Domain, *, json: Json = False) -> None:
    """Let a deployment answer under a name of yours; tells which DNS records that takes."""
    with connect() as api:
        made = api.post(_path(names.deployment_id(api, deployment)), {"domain": domain})
    if json:
        put_json(made)
        return
    say(f"{made['domain']} is added. Make these records in DNS, then verify it:")
    _records(made)
    say(f"Next: `tallyport domains verify {deployment} {made['domain']}`.")


def list_domains(
    deployment: Deployment,
    *,
    limit: Limit = 100,
    everything: Everything = False,
    json: Json = False,
) -> None:
    """List a deployment's domains."""
    with connect() as api:
        path = _path(names.deployment_id(api, deployment))
        page = api.listed(path, "domains", limit=limit, everything=everything)
    if json:
        put_json(page.answer)
        return
    table(
        page.rows,
        ("domain", field("domain")),
        ("status", field("status")),
        ("id", field("id")),
        ("verified", moment("verifiedAt")),
        ("failure", field("failure")),
        none="It has none. `tallyport domains add` adds one.",
    )


def show(deployment: Deployment, domain: Domain, *, json: Json = False) -> None:
    """Show a domain: how it stands, its records, and what is wrong with them."""
    with connect() as api:
        found = api.get(names.domain_path(api, deployment, domain))
    if json:
        put_json(found)
        return
    facts(
        ("Domain", found["domain"]),
        ("Id", found["id"]),
        ("Status", found["status"]),
        ("Failure", found["failure"]),
        ("Verified", found["verifiedAt"]),
        ("Last looked at", found["lastCheckedAt"]),
        ("Next look", found["nextCheckAt"]),
    )
    put("")
    _records(found)


def verify(
    deployment: Deployment,
    domain: Domain,
    *,
    no_wait: NoWait = False,
    timeout: Wait = 60,
    json: Json = False,
) -> None:
    """Have a domain's records looked at now, and tell what was found."""
    with connect() as api:
        path = names.domain_path(api, deployment, domain)
        before = api.get(path)
        asked = api.post(f"{path}/verify")
        found = asked if no_wait else _checked(api, path, before, seconds=timeout)
    if json:
        put_json(found)
    elif no_wait:
        say(f"{asked['message']}.")
    if no_wait:
        return
    if found["status"] != "active":
        problems = [f"  {each['message']}" for each in found["problems"]]
        raise Failed(f"{found['domain']} is {found['status']}.", *problems)
    say(f"{found['domain']} is active.")


def move(
    deployment: Deployment,
    domain: Domain,
    to: Annotated[str, typer.Argument(help="The other deployment: its name, or its id.")],
    *,
    json: Json = False,
) -> None:
    """Let a domain lead to another deployment of the team, at once."""
    with connect() as api:
        path = names.domain_path(api, deployment, domain)
        answer = api.patch(path, {"deploymentId": names.deployment_id(api, to)})
    if json:
        put_json(answer)
        return
    say(f"{domain} leads to {to} now.")
    say(f"If its CNAME names the app: `tallyport domains show {to} {domain}` says the new one.")


def remove(deployment: Deployment, domain: Domain, *, yes: Yes = False, json: Json = False) -> None:
    """Remove a domain: nothing answers under it any more."""
    with connect() as api:
        path = names.domain_path(api, deployment, domain)
        confirm(f"Remove {domain}? Nothing answers under it any more.", yes=yes)
        answer = api.delete(path)
    if json:
        put_json(answer)
    else:
        say(f"{answer['message']}.")


def _checked(api: "Client", path: str, before: dict[str, Any], *, seconds: int) -> dict[str, Any]:
    """Return the domain once it was looked at after it was as it was before."""
    deadline = time.monotonic() + seconds
    with working(f"Looking at the records of {before['domain']} ..."):
        while True:
            found: dict[str, Any] = api.get(path)
            if found["lastCheckedAt"] != before["lastCheckedAt"]:
                return found
            if time.monotonic() > deadline:
                raise Failed(f"Nobody looked within {seconds} s; it is still asked for.")
            time.sleep(POLL_SECONDS)


def _records(found: dict[str, Any]) -> None:
    table(
        found["dnsRecords"],
        ("type", field("type")),
        ("name", field("name")),
        ("value", field("value")),
        ("what for", field("purpose")),
        ("needed", lambda row: "yes" if row["required"] else "where a CNAME cannot be"),
        none="It needs no records.",
    )


def _path(deployment_id: str) -> str:
    return f"/deployments/{deployment_id}/domains"
