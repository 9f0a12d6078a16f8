"""Names where the API wants ids: whoever types has names in mind."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cli.failures import ExitCode, Failed

if TYPE_CHECKING:
    from cli.client import Client

_ID = re.compile(r"[a-z]{3}-[0-9a-z]{10}")


def is_id(text: str, prefix: str) -> bool:
    """Tell whether this has the form of an id of that kind."""
    return text.startswith(f"{prefix}-") and _ID.fullmatch(text) is not None


def deployment_id(api: "Client", text: str) -> str:
    """Return the deployment's id."""
    return text if is_id(text, "dpl") else str(deployment(api, text)["id"])


def deployment(api: "Client", text: str) -> dict[str, Any]:
    """Return the deployment of that name or id; raises `Failed`."""
    if is_id(text, "dpl"):
        return dict(api.get(f"/deployments/{text}"))
    found = find_deployment(api, text)
    if found is None:
        raise _missing("deployment", text, "tallyport deployments list")
    return found


def find_deployment(api: "Client", name: str) -> dict[str, Any] | None:
    """Return the deployment of that name as lists show it, None if you see no such."""
    rows = api.get("/deployments", appName=name, limit=1)["deployments"]
    return dict(rows[0]) if rows else None


def key_id(api: "Client", text: str) -> str:
    """Return the key's id, by its id, its name or the beginning of its secret."""
    if is_id(text, "key"):
        return text
    rows = api.each("/api-keys", "apiKeys")
    found = [row for row in rows if text in {row["name"], row["prefix"]}]
    return _only(found, "key", text, "tallyport keys list")


def webhook_id(api: "Client", text: str) -> str:
    """Return the webhook's id, by its id or its description."""
    if is_id(text, "whk"):
        return text
    found = [row for row in api.each("/webhooks", "webhooks") if row["description"] == text]
    return _only(found, "webhook", text, "tallyport webhooks list")


def team_id(api: "Client", text: str | None) -> str | None:
    """Return the team's id; nothing for nothing."""
    if text is None or is_id(text, "org"):
        return text
    found = [row for row in api.each("/teams", "teams") if row["name"] == text]
    return _only(found, "team", text, "tallyport teams list")


def member_id(api: "Client", team: str, text: str) -> str:
    """Return the id of a team's member."""
    if text == "me" or is_id(text, "usr"):
        return text
    rows = api.each(f"/teams/{team}/members", "members")
    found = [{"id": row["userId"]} for row in rows if row["username"] == text]
    return _only(found, "member", text, "tallyport teams members")


def domain_id(api: "Client", path: str, text: str) -> str:
    """Return the id of a deployment's domain."""
    if is_id(text, "dom"):
        return text
    wanted = text.rstrip(".").lower()
    found = [row for row in api.each(path, "domains") if row["domain"] == wanted]
    return _only(found, "domain", text, "tallyport domains list")


def domain_path(api: "Client", deployment: str, domain: str) -> str:
    """Return where a deployment's domain is found."""
    path = f"/deployments/{deployment_id(api, deployment)}/domains"
    return f"{path}/{domain_id(api, path, domain)}"


def certificate_path(api: "Client", deployment: str, domain: str) -> str:
    """Return where the certificate of a domain is found."""
    return f"{domain_path(api, deployment, domain)}/certificate"


def resource_id(api: "Client", text: str) -> str:
    """Return the id of whatever has a history: an id as it is, else a deployment's name."""
    return text if _ID.fullmatch(text) else deployment_id(api, text)


def _only(found: Iterable[dict[str, Any]], kind: str, text: str, where: str) -> str:
    ids = [str(row["id"]) for row in found]
    if not ids:
        raise _missing(kind, text, where)
    if len(ids) > 1:
        raise Failed(
            f"There are {len(ids)} of the name {text!r}: {', '.join(ids)}.",
            "Say which by its id.",
            code=ExitCode.USAGE,
        )
    return ids[0]


def _missing(kind: str, text: str, where: str) -> Failed:
    return Failed(
        f"There is no {kind} {text!r} among yours.", f"See `{where}`.", code=ExitCode.NOT_FOUND
    )
