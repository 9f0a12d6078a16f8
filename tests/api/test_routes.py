"""Every route, asked in every wrong way. A route without a row in the table fails the first test.

The right ways are in the other files, one per context.
"""

import re
import secrets
from dataclasses import dataclass, field
from typing import Any

import httpx

from api.dashboard import SECTIONS
from tests.api.conftest import Api, Body, Visitor
from tests.wiring import PASSWORD

REGISTRATION = {
    "username": "berta",
    "email": "berta@example.com",
    "password": PASSWORD,
    "confirmPassword": PASSWORD,
}
LOGIN = {"email": "anna@example.com", "password": PASSWORD}
DEPLOYMENT = {"appName": "shop", "image": "tallyport/echo", "port": 8080}
WEBHOOK = {"url": "https://hooks.example.com/t", "eventTypes": ["deployment.*"]}
CREDENTIAL = {"id": "AAAA", "rawId": "AAAA", "type": "public-key"}
ATTESTATION = {**CREDENTIAL, "response": {"clientDataJSON": "e30", "attestationObject": "oA"}}
ASSERTION = {
    **CREDENTIAL,
    "response": {"clientDataJSON": "e30", "authenticatorData": "AA", "signature": "AA"},
}
PAGES = {"/openapi.json", "/docs", "/redoc", "/static/{name}", "/problems", "/problems/{code}"}
PAGES |= {"/help", "/help/search", "/help/{name}", "/help/{folder}/{name}"}
PAGES |= {"/", "/assets/{name}"}
PAGES |= {f"/{each}{rest}" for each in SECTIONS for rest in ("", "/{first}", "/{first}/{second}")}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A route as the contract has it."""

    method: str
    path: str
    open: bool = False
    """Needs no credentials."""
    scope: str | None = None
    """What a key needs; None: no key at all is enough, or any."""
    person: bool = False
    """Only a person may, no key."""
    body: Body | None = None
    wrong: dict[str, Any] = field(default_factory=dict)
    """Fields with values that cannot be accepted."""
    link: bool = False
    """Whoever has the link in the path may; nothing in it is a team's id."""
    admin: bool = False
    """Only an admin of the platform may."""
    archive: bool = False
    """Takes an archive, so what this table sends is of another kind (415)."""
    query: bool = False
    """Has parameters, and refuses those it does not know."""

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


TABLE = [
    Row(
        method="POST",
        path="/v1/auth/register",
        open=True,
        body=REGISTRATION,
        wrong={"username": 7, "email": "nobody", "password": "short", "confirmPassword": "other"},
    ),
    Row(
        method="POST",
        path="/v1/auth/login",
        open=True,
        body=LOGIN,
        wrong={"email": None, "password": ["x"]},
    ),
    Row(
        method="POST",
        path="/v1/auth/refresh",
        open=True,
        body={"refreshToken": "ses-0000000000.x"},
        wrong={"refreshToken": ""},
    ),
    Row(method="POST", path="/v1/auth/logout", person=True),
    Row(method="POST", path="/token", open=True),
    Row(method="POST", path="/v1/auth/device", open=True),
    Row(
        method="POST",
        path="/v1/auth/device/token",
        open=True,
        body={"device_code": "dev-0000000000.x.y"},
        wrong={"device_code": ""},
    ),
    Row(
        method="POST",
        path="/v1/auth/device/approve",
        person=True,
        body={"userCode": "BCDF-GHJK"},
        wrong={"userCode": ""},
    ),
    Row(
        method="POST",
        path="/v1/auth/device/deny",
        person=True,
        body={"userCode": "BCDF-GHJK"},
        wrong={"userCode": ""},
    ),
    Row(
        method="POST",
        path="/v1/auth/step-up",
        person=True,
        body={"password": PASSWORD},
        wrong={"password": "", "otp": 7},
    ),
    Row(method="GET", path="/v1/user/2fa", person=True),
    Row(
        method="POST",
        path="/v1/user/2fa",
        person=True,
        body={"password": PASSWORD},
        wrong={"password": ""},
    ),
    Row(
        method="POST",
        path="/v1/user/2fa/confirm",
        person=True,
        body={"otp": "123456"},
        wrong={"otp": "1" * 65},
    ),
    Row(
        method="POST",
        path="/v1/user/2fa/recovery-codes",
        person=True,
        body={"password": PASSWORD, "otp": "123456"},
        wrong={"password": ["x"], "otp": ""},
    ),
    Row(
        method="DELETE",
        path="/v1/user/2fa",
        person=True,
        body={"password": PASSWORD, "otp": "123456"},
        wrong={"password": None, "otp": 1},
    ),
    Row(method="POST", path="/v1/user/passkeys/options", person=True),
    Row(
        method="POST",
        path="/v1/user/passkeys",
        person=True,
        body={"name": "a key", "credential": ATTESTATION},
        wrong={"name": "", "credential": {**ATTESTATION, "type": "password"}},
    ),
    Row(method="GET", path="/v1/user/passkeys", person=True, query=True),
    Row(method="DELETE", path="/v1/user/passkeys/{passkey_id}", person=True),
    Row(method="POST", path="/v1/auth/passkeys/options", open=True, body={}),
    Row(
        method="POST",
        path="/v1/auth/passkeys",
        open=True,
        body={"credential": ASSERTION},
        wrong={"credential": {**ASSERTION, "id": "not base64!"}},
    ),
    Row(
        method="POST",
        path="/v1/auth/verify-email",
        open=True,
        body={"token": "usr-0000000000.x.y"},
        wrong={"token": 5},
    ),
    Row(
        method="POST",
        path="/v1/auth/verify-email/resend",
        open=True,
        body={"email": "anna@example.com"},
        wrong={"email": "nobody"},
    ),
    Row(
        method="POST",
        path="/v1/auth/forgot-password",
        open=True,
        body={"email": "anna@example.com"},
        wrong={"email": "nobody"},
    ),
    Row(
        method="POST",
        path="/v1/auth/reset-password",
        open=True,
        body={"token": "usr-0000000000.x.y", "newPassword": PASSWORD},
        wrong={"token": "", "newPassword": ""},
    ),
    Row(method="GET", path="/v1/user/profile", person=True),
    Row(
        method="DELETE",
        path="/v1/user",
        person=True,
        body={"password": "not the password"},
        wrong={"password": ""},
    ),
    Row(method="GET", path="/v1/user/export", person=True),
    Row(
        method="PUT",
        path="/v1/user/profile",
        person=True,
        body={"username": "bertha"},
        wrong={"username": "b"},
    ),
    Row(
        method="PUT",
        path="/v1/user/password",
        person=True,
        body={
            "currentPassword": "not the one",
            "newPassword": "another horse battery",
            "confirmNewPassword": "another horse battery",
        },
        wrong={"currentPassword": "", "newPassword": "short", "confirmNewPassword": "other"},
    ),
    Row(method="GET", path="/v1/user/sessions", person=True, query=True),
    Row(method="DELETE", path="/v1/user/sessions", person=True),
    Row(method="DELETE", path="/v1/user/sessions/{session_id}", person=True),
    Row(method="POST", path="/v1/setup", person=True, body={"token": "x"}, wrong={"token": ""}),
    Row(method="GET", path="/v1/admin/users", person=True, admin=True, query=True),
    Row(
        method="POST",
        path="/v1/admin/users/{user_id}/suspension",
        person=True,
        admin=True,
        body={},
        wrong={"reason": 5},
    ),
    Row(method="DELETE", path="/v1/admin/users/{user_id}/suspension", person=True, admin=True),
    Row(method="GET", path="/v1/admin/mailbox", person=True, admin=True, query=True),
    Row(method="GET", path="/v1/admin/mailbox/{mail_id}", person=True, admin=True),
    Row(
        method="POST",
        path="/v1/teams",
        person=True,
        body={"name": "Acme"},
        wrong={"name": "a\u200bb"},
    ),
    Row(method="GET", path="/v1/teams", scope="team:read", query=True),
    Row(method="GET", path="/v1/teams/{team_id}", scope="team:read"),
    Row(
        method="PATCH",
        path="/v1/teams/{team_id}",
        scope="team:write",
        body={"name": "Ajax"},
        wrong={"name": ""},
    ),
    Row(method="DELETE", path="/v1/teams/{team_id}", person=True),
    Row(method="GET", path="/v1/teams/{team_id}/quota", scope="team:read"),
    Row(
        method="PUT",
        path="/v1/admin/teams/{team_id}/quota",
        person=True,
        admin=True,
        body={},
        wrong={"deployments": -1, "replicas": 1.5, "cpu": "much", "memory": "-1Gi"},
    ),
    Row(method="GET", path="/v1/teams/{team_id}/members", scope="team:read", query=True),
    Row(
        method="PATCH",
        path="/v1/teams/{team_id}/members/{user_id}",
        scope="team:write",
        body={"role": "admin"},
        wrong={"role": "king"},
    ),
    Row(method="DELETE", path="/v1/teams/{team_id}/members/{user_id}", scope="team:write"),
    Row(
        method="POST",
        path="/v1/teams/{team_id}/invitations",
        person=True,
        body={"email": "carl@example.com"},
        wrong={"email": "nobody", "role": "king"},
    ),
    Row(method="GET", path="/v1/teams/{team_id}/invitations", scope="team:write", query=True),
    Row(
        method="DELETE",
        path="/v1/teams/{team_id}/invitations/{invitation_id}",
        scope="team:write",
    ),
    Row(method="GET", path="/v1/invitations/{token}", open=True, link=True),
    Row(method="POST", path="/v1/invitations/{token}/accept", person=True, link=True),
    Row(
        method="POST",
        path="/v1/api-keys",
        scope="keys:write",
        body={"name": "a key"},
        wrong={
            "name": "",
            "scopes": ["everything"],
            "expiresAt": "yesterday",
            "requestsPerMinute": 0,
            "deploymentId": 5,
            "description": 3,
            "allowedCidrs": ["192.0.2.1/24"],
        },
    ),
    Row(method="GET", path="/v1/api-keys", scope="keys:read", query=True),
    Row(method="GET", path="/v1/api-keys/{key_id}", scope="keys:read"),
    Row(
        method="PATCH",
        path="/v1/api-keys/{key_id}",
        scope="keys:write",
        body={"name": "another name"},
        wrong={
            "name": None,
            "description": 3,
            "expiresAt": "2020-01-01T00:00:00Z",
            "scopes": [],
            "allowedCidrs": [],
            "requestsPerMinute": 0,
        },
    ),
    Row(
        method="POST",
        path="/v1/api-keys/{key_id}/rotate",
        scope="keys:write",
        body={},
        wrong={"graceSeconds": 604_801},
    ),
    Row(method="POST", path="/v1/api-keys/{key_id}/regenerate", scope="keys:write"),
    Row(method="DELETE", path="/v1/api-keys/{key_id}", scope="keys:write"),
    Row(
        method="POST",
        path="/v1/leaks",
        open=True,
        body={"apiKey": "tp_live_0"},
        wrong={"apiKey": ["x"]},
    ),
    Row(method="POST", path="/v1/leaks/github", open=True),
    Row(method="POST", path="/v1/leaks/google", open=True),
    Row(
        method="POST",
        path="/v1/deployments",
        scope="deployments:write",
        body=DEPLOYMENT,
        wrong={
            "appName": "Not A Name",
            "image": "--privileged",
            "port": 70_000,
            "replicas": 10**9,
            "envVars": {"LD_PRELOAD": "x"},
            "resources": {"cpu": "much"},
            "healthCheck": {"path": "//evil"},
            "registryAuth": {"username": "me"},
            "visibility": "secret",
        },
    ),
    Row(method="GET", path="/v1/deployments", scope="deployments:read", query=True),
    Row(method="GET", path="/v1/deployments/{deployment_id}", scope="deployments:read", query=True),
    Row(method="GET", path="/v1/deployments/{deployment_id}/status", scope="deployments:read"),
    Row(method="GET", path="/v1/deployments/{deployment_id}/logs", scope="logs:read", query=True),
    Row(
        method="GET",
        path="/v1/deployments/{deployment_id}/metrics",
        scope="analytics:read",
        query=True,
    ),
    Row(
        method="PATCH",
        path="/v1/deployments/{deployment_id}/scale",
        scope="deployments:write",
        body={"replicas": 2},
        wrong={"replicas": "2"},
    ),
    Row(
        method="PUT",
        path="/v1/deployments/{deployment_id}",
        scope="deployments:write",
        body={"replicas": 2},
        wrong={
            "image": "--privileged",
            "port": 0,
            "replicas": 10**9,
            "envVars": {"LD_PRELOAD": "x"},
            "envVarChanges": {"LD_PRELOAD": "x"},
            "resources": {"cpu": "much"},
            "healthCheck": {"path": "//evil"},
            "registryAuth": {"username": "me"},
            "visibility": "secret",
        },
    ),
    Row(
        method="GET",
        path="/v1/deployments/{deployment_id}/revisions",
        scope="deployments:read",
        query=True,
    ),
    Row(method="POST", path="/v1/deployments/{deployment_id}/restart", scope="deployments:write"),
    Row(
        method="POST",
        path="/v1/deployments/{deployment_id}/rollback",
        scope="deployments:write",
        body={"revision": 1},
        wrong={"revision": "1"},
    ),
    Row(
        method="POST",
        path="/v1/deployments/{deployment_id}/transfer",
        scope="deployments:write",
        body={"teamId": "org-0000000000"},
        wrong={"teamId": 7},
    ),
    Row(method="POST", path="/v1/deployments/{deployment_id}/stop", scope="deployments:write"),
    Row(method="POST", path="/v1/deployments/{deployment_id}/start", scope="deployments:write"),
    Row(method="DELETE", path="/v1/deployments/{deployment_id}", scope="deployments:write"),
    Row(
        method="POST",
        path="/v1/deployments/{deployment_id}/domains",
        scope="deployments:write",
        body={"domain": "www.example.com"},
        wrong={"domain": "https://www.example.com/"},
    ),
    Row(
        method="GET",
        path="/v1/deployments/{deployment_id}/domains",
        scope="deployments:read",
        query=True,
    ),
    Row(
        method="GET",
        path="/v1/deployments/{deployment_id}/domains/{domain_id}",
        scope="deployments:read",
    ),
    Row(
        method="POST",
        path="/v1/deployments/{deployment_id}/domains/{domain_id}/verify",
        scope="deployments:write",
    ),
    Row(
        method="PATCH",
        path="/v1/deployments/{deployment_id}/domains/{domain_id}",
        scope="deployments:write",
        body={"deploymentId": "dpl-0000000000"},
        wrong={"deploymentId": 7},
    ),
    Row(
        method="DELETE",
        path="/v1/deployments/{deployment_id}/domains/{domain_id}",
        scope="deployments:write",
    ),
    Row(
        method="PUT",
        path="/v1/deployments/{deployment_id}/domains/{domain_id}/certificate",
        scope="deployments:write",
        body={"certificate": "none", "privateKey": "none"},
        wrong={"certificate": 7, "privateKey": ""},
    ),
    Row(
        method="GET",
        path="/v1/deployments/{deployment_id}/domains/{domain_id}/certificate",
        scope="deployments:read",
    ),
    Row(
        method="DELETE",
        path="/v1/deployments/{deployment_id}/domains/{domain_id}/certificate",
        scope="deployments:write",
    ),
    Row(method="GET", path="/v1/portals/{portal}", scope="deployments:read"),
    Row(method="GET", path="/v1/deployments/{deployment_id}/portal", scope="deployments:read"),
    Row(
        method="PUT",
        path="/v1/deployments/{deployment_id}/portal",
        scope="deployments:write",
        body={"visibility": "team"},
        wrong={"visibility": "everybody"},
    ),
    Row(
        method="PUT",
        path="/v1/deployments/{deployment_id}/openapi",
        scope="deployments:write",
        archive=True,
    ),
    Row(
        method="GET",
        path="/v1/deployments/{deployment_id}/openapi",
        scope="deployments:read",
        query=True,
    ),
    Row(
        method="GET",
        path="/v1/deployments/{deployment_id}/openapi/postman",
        scope="deployments:read",
    ),
    Row(
        method="GET",
        path="/v1/deployments/{deployment_id}/openapi/changelog",
        scope="deployments:read",
    ),
    Row(
        method="DELETE",
        path="/v1/deployments/{deployment_id}/openapi",
        scope="deployments:write",
    ),
    Row(method="GET", path="/v1/images"),
    Row(method="POST", path="/v1/sources", scope="deployments:write", query=True, archive=True),
    Row(method="POST", path="/v1/events/ticket", person=True),
    Row(
        method="POST",
        path="/v1/webhooks",
        scope="webhooks:write",
        body=WEBHOOK,
        wrong={"url": "https://localhost/", "eventTypes": ["nothing.*"], "description": 7},
    ),
    Row(method="GET", path="/v1/webhooks", scope="webhooks:read", query=True),
    Row(method="GET", path="/v1/webhooks/event-types"),
    Row(method="GET", path="/v1/webhooks/{webhook_id}", scope="webhooks:read"),
    Row(
        method="PATCH",
        path="/v1/webhooks/{webhook_id}",
        scope="webhooks:write",
        body={"enabled": False},
        wrong={"url": "gopher://example.com/", "eventTypes": [], "enabled": 1, "description": 7},
    ),
    Row(method="DELETE", path="/v1/webhooks/{webhook_id}", scope="webhooks:write"),
    Row(
        method="POST",
        path="/v1/webhooks/{webhook_id}/rotate-secret",
        scope="webhooks:write",
        body={},
        wrong={"graceSeconds": 604_801},
    ),
    Row(
        method="GET",
        path="/v1/webhooks/{webhook_id}/deliveries",
        scope="webhooks:read",
        query=True,
    ),
    Row(
        method="POST",
        path="/v1/webhooks/{webhook_id}/replay",
        scope="webhooks:write",
        body={"since": "2026-01-01T00:00:00Z"},
        wrong={"since": "yesterday", "until": "2020-01-01T00:00:00Z", "missedOnly": 1},
    ),
    Row(method="POST", path="/v1/webhooks/{webhook_id}/test", scope="webhooks:write"),
    Row(method="GET", path="/v1/webhooks/deliveries/{delivery_id}", scope="webhooks:read"),
    Row(
        method="POST",
        path="/v1/webhooks/deliveries/{delivery_id}/retry",
        scope="webhooks:write",
    ),
    Row(method="GET", path="/v1/analytics/overview", scope="analytics:read", query=True),
    Row(method="GET", path="/v1/analytics/requests/raw", scope="analytics:read", query=True),
    Row(
        method="GET",
        path="/v1/deployments/{deployment_id}/estimate",
        scope="deployments:read",
        query=True,
    ),
    Row(
        method="POST",
        path="/v1/estimate",
        scope="deployments:read",
        body={},
        wrong={"replicas": -1, "resources": {"cpu": "much"}, "requestsPerMonth": 0.5},
    ),
    Row(method="GET", path="/v1/usage", scope="billing:read", query=True),
    Row(method="GET", path="/v1/billing/estimate", scope="billing:read"),
    Row(method="GET", path="/v1/audit", scope="audit:read", query=True),
    Row(method="GET", path="/v1/history/{resource}", scope="audit:read"),
    Row(method="GET", path="/v1/alerts", scope="deployments:read", query=True),
    Row(method="GET", path="/v1/alerts/rules", scope="deployments:read", query=True),
    Row(
        method="PATCH",
        path="/v1/alerts/rules/{rule}",
        scope="team:write",
        body={"threshold": 10},
        wrong={"threshold": "10", "enabled": "yes", "mail": 1},
    ),
    Row(method="GET", path="/v1/alerts/preferences", person=True, query=True),
    Row(
        method="PUT",
        path="/v1/alerts/preferences",
        person=True,
        body={"mail": False},
        wrong={"mail": "no"},
    ),
    Row(method="GET", path="/v1/admin/alerts", person=True, admin=True, query=True),
    Row(method="GET", path="/v1/admin/alerts/rules", person=True, admin=True),
    Row(
        method="PATCH",
        path="/v1/admin/alerts/rules/{rule}",
        person=True,
        admin=True,
        body={},
        wrong={"threshold": 1_000_001, "enabled": None, "mail": "no"},
    ),
    Row(method="GET", path="/v1/admin/health", person=True, admin=True),
    Row(method="GET", path="/v1/admin/teams", person=True, admin=True, query=True),
    Row(method="POST", path="/v1/admin/users/{user_id}/password-reset", person=True, admin=True),
    Row(
        method="POST",
        path="/v1/admin/users/{user_id}/impersonation",
        person=True,
        admin=True,
        body={"reason": "Asked for help"},
        wrong={"reason": ""},
    ),
    Row(method="DELETE", path="/v1/impersonation", person=True),
    Row(method="GET", path="/v1/admin/parked-events", person=True, admin=True, query=True),
    Row(method="POST", path="/v1/admin/parked-events/{parked_id}/retry", person=True, admin=True),
    Row(method="POST", path="/v1/admin/parked-events/{parked_id}/discard", person=True, admin=True),
    Row(method="POST", path="/v1/admin/views/{view}/replay", person=True, admin=True),
    Row(method="GET", path="/v1/announcements"),
    Row(method="GET", path="/v1/admin/announcements", person=True, admin=True, query=True),
    Row(
        method="POST",
        path="/v1/admin/announcements",
        person=True,
        admin=True,
        body={"text": "New prices from January on"},
        wrong={"text": "", "tone": "loud", "startsAt": "tomorrow", "endsAt": 7},
    ),
    Row(
        method="DELETE",
        path="/v1/admin/announcements/{announcement_id}",
        person=True,
        admin=True,
    ),
    Row(method="GET", path="/v1/admin/maintenance", person=True, admin=True, query=True),
    Row(
        method="POST",
        path="/v1/admin/maintenance",
        person=True,
        admin=True,
        body={"text": "The disks are replaced", "endsAt": "2099-01-01T00:00:00Z"},
        wrong={"text": "x" * 301, "endsAt": None, "deploymentId": 7},
    ),
    Row(
        method="DELETE",
        path="/v1/admin/maintenance/{maintenance_id}",
        person=True,
        admin=True,
    ),
    Row(method="GET", path="/health/live", open=True),
    Row(method="GET", path="/health/ready", open=True),
    Row(method="GET", path="/metrics", open=True),
]
NAMES = [row.name for row in TABLE]
WRONG_BODIES: list[tuple[bytes, str, int]] = [
    (b'{"a": ', "application/json", 400),
    (b"\xff\xfe", "application/json", 400),
    (b'{"a": NaN}', "application/json", 400),
    (b"{}", "text/plain", 415),
    (b"{}", "", 415),
    (b'{"a": 1, "a": 2}', "application/json", 422),
    (b'{"a": "\\u0000"}', "application/json", 422),
    (b'{"a": "\\ud800"}', "application/json", 400),
    (b"[" * 100_000, "application/json", 422),
    (b"[" * 40 + b"]" * 40, "application/json", 422),
    (b"[1, 2]", "application/json", 422),
    (b"null", "application/json", 422),
    (b"1" * 5000, "application/json", 400),
]


PLATFORMS = {
    "{view}": "mails",
    "{parked_id}": "deployments.1",
    "{announcement_id}": "ann-0000000001",
    "{maintenance_id}": "mnt-0000000001",
}
"""What only admins of the platform may touch. Most of it is not there."""


async def url_of(row: Row, visitor: Visitor) -> str:  # noqa: C901, PLR0912  an id after the other
    """Return the route's path with the ids of something that the visitor has."""
    path = row.path
    if "{rule}" in path:
        path = path.replace("{rule}", "worker_lagging" if "/admin/" in path else "error_rate")
    for name, value in PLATFORMS.items():
        path = path.replace(name, value)
    if "{key_id}" in path:
        path = path.replace("{key_id}", (await visitor.create_key())["id"])
    if "{passkey_id}" in path:
        path = path.replace("{passkey_id}", await visitor.add_passkey())
    if "{deployment_id}" in path or "{resource}" in path:
        deployment_id = await visitor.deploy(f"app-{secrets.token_hex(5)}")
        path = path.replace("{deployment_id}", deployment_id).replace("{resource}", deployment_id)
    if "{portal}" in path:
        path = path.replace("{portal}", await visitor.open_portal())
    if "/openapi" in path:
        await visitor.publish(path.split("/")[3])
    if "{domain_id}" in path:
        added = await visitor.add_domain(path.split("/")[3], f"{secrets.token_hex(5)}.example.com")
        path = path.replace("{domain_id}", added["id"])
    if "{webhook_id}" in path:
        path = path.replace("{webhook_id}", (await visitor.add_webhook())["id"])
    if "{delivery_id}" in path:
        path = path.replace("{delivery_id}", await visitor.add_delivery())
    if "{team_id}" in path:
        team_id = visitor.team_id or await visitor.found_team(f"Team {secrets.token_hex(5)}")
        path = path.replace("{team_id}", team_id)
    if "{mail_id}" in path:
        path = path.replace("{mail_id}", await visitor.api.new_mail())
    if "{user_id}" in path and path.startswith("/v1/admin/"):
        stranger = await visitor.api.installation.register(f"person-{secrets.token_hex(5)}")
        path = path.replace("{user_id}", stranger.user_id)
    if "{user_id}" in path:
        path = path.replace("{user_id}", await visitor.api.new_member(path.split("/")[3]))
    if "{invitation_id}" in path:
        invited = await visitor.invite("carl@example.com", path.split("/")[3])
        path = path.replace("{invitation_id}", invited)
    if "{token}" in path:
        team_id = await visitor.found_team(f"Team {secrets.token_hex(5)}")
        await visitor.invite("carl@example.com", team_id)
        path = path.replace("{token}", await visitor.api.installation.link_of(team_id))
    if "{session_id}" in path:
        elsewhere = await visitor.api.sign_in(visitor.account["email"])
        path = path.replace("{session_id}", elsewhere.session["refreshToken"].partition(".")[0])
    return path


def team_in(path: str) -> Body:
    """Return what makes a key one of the team that the path is about."""
    return {"teamId": path.split("/")[3]} if path.startswith("/v1/teams/") else {}


def has_route(method: str, path: str) -> bool:
    """Tell whether some route takes this method at this path."""
    return any(
        row.method == method
        and re.fullmatch(re.sub(r"{\w+}", "[^/]+", row.path), path.partition("?")[0])
        for row in TABLE
    )


def is_problem(answer: httpx.Response, status: int) -> bool:
    """Tell whether it is a whole problem document with every header an answer has."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "requestId", "error"}
    assert set(problem["error"]) == {"code", "message", "details"}
    assert problem["status"] == status
    assert problem["requestId"] == answer.headers["x-request-id"]
    assert problem["type"] == f"/problems/{problem['error']['code']}"
    for name in ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit"):
        assert name in answer.headers
    assert answer.headers["cache-control"] == "no-store"
    return True


async def test_every_route_has_a_row_and_every_row_a_route(api: Api) -> None:
    document = (await api.client.get("/openapi.json")).json()
    routes = {
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method in operations
    }
    assert routes == set(NAMES)


async def test_no_route_is_left_out_of_the_document_but_the_pages(api: Api) -> None:
    def walk(routes: Any) -> set[str]:
        found = set()
        for route in routes:
            if getattr(route, "routes", None):
                found |= walk(route.routes)
            elif not getattr(route, "include_in_schema", True):
                found.add(route.path)
        return found

    assert walk(api.app.routes) <= PAGES


async def test_without_credentials_every_route_but_the_open_ones_answers_401(api: Api) -> None:
    anna = await api.join()
    for row in TABLE:
        path = await url_of(row, anna)
        if row.open:
            continue
        answer = await api.nobody.ask(row.method, path, row.body)
        assert is_problem(answer, 401), row.name
        assert answer.headers["www-authenticate"].startswith("Bearer")
        bad = await api.nobody.ask(row.method, path, row.body, Authorization="Bearer nonsense")
        assert is_problem(bad, 401), row.name


async def test_a_key_without_the_scope_gets_403_in_its_own_team(api: Api) -> None:
    anna = await api.join()
    for row in TABLE:
        path = await url_of(row, anna)
        if row.scope is None and not row.person:
            continue
        program = await anna.with_key("call:*", **team_in(path))
        position = anna.position if "{" in row.path else "0"
        answer = await program.ask(row.method, path, row.body, X_Tallyport_Min_Position=position)
        assert is_problem(answer, 403), row.name


async def test_a_key_with_the_scope_is_let_in(api: Api) -> None:
    anna = await api.join()
    for row in TABLE:
        if row.scope is None or row.path.endswith("/transfer"):  # a key is in one team only
            continue
        path = await url_of(row, anna)
        program = await anna.with_key(row.scope, "call:*", **team_in(path))
        program.position = anna.position if "{" in row.path else "0"
        if row.method == "GET":
            answer = await program.get(path)
        else:
            answer = await program.ask(row.method, path, row.body)
        right = {415} if row.archive else {200, 201, 202, 422}
        assert answer.status_code in right, (row.name, answer.text)
        refused = ("start", "/certificate", "/domains/{domain_id}")
        assert answer.status_code != 422 or row.name.endswith(refused), answer.text


async def test_another_teams_thing_and_a_missing_one_look_the_same(api: Api) -> None:
    anna, berta = await api.join("anna"), await api.join("berta")
    for row in TABLE:
        if "{" not in row.path or row.admin or row.link or "{rule}" in row.path:
            continue
        theirs = await url_of(row, anna)
        thing = next(part for part in theirs.split("/") if part[3:4] == "-")
        missing = theirs.replace(thing, f"{thing[:4]}0000000000")
        malformed = theirs.replace(thing, "%2e%2e%00'")
        berta.position = anna.position
        answers = [
            await (
                berta.get(path) if row.method == "GET" else berta.ask(row.method, path, row.body)
            )
            for path in (theirs, missing, malformed)
        ]
        bodies = []
        for answer in answers:
            assert is_problem(answer, 404), row.name
            bodies.append({**answer.json(), "requestId": ""})
            assert set(answer.headers) == set(answers[0].headers)
        assert bodies[0] == bodies[1] == bodies[2], row.name


async def test_what_is_the_platforms_is_refused_to_everybody_but_its_admins(api: Api) -> None:
    anna = await api.join()
    for row in TABLE:
        if row.admin:
            answer = await anna.ask(row.method, await url_of(row, anna), row.body)
            assert is_problem(answer, 403), row.name


async def test_ids_of_another_team_in_a_body_are_as_good_as_missing(api: Api) -> None:
    anna, berta = await api.join("anna"), await api.join("berta")
    deployment_id = await anna.deploy()

    team = {**DEPLOYMENT, "teamId": anna.account["teamId"]}
    assert is_problem(await berta.post("/v1/deployments", team), 404)
    for wanted in (deployment_id, "dpl-0000000000", anna.account["id"], berta.account["id"]):
        key = {"name": "a key", "deploymentId": wanted}
        assert is_problem(await berta.post("/v1/api-keys", key), 404)


async def test_a_field_that_nobody_knows_is_refused(api: Api) -> None:
    anna = await api.join()
    for row in TABLE:
        if row.body is None:
            continue
        path = await url_of(row, anna)
        for forged in ("role", "team_id", "isAdmin", "ownerId", "createdAt", "id", "version"):
            answer = await anna.ask(row.method, path, {**row.body, forged: "x"})
            assert is_problem(answer, 422), row.name
            assert forged in {detail["field"] for detail in answer.json()["error"]["details"]}


async def test_a_value_that_cannot_be_accepted_is_422_and_named(api: Api) -> None:
    anna = await api.join()
    for row in TABLE:
        for name, value in row.wrong.items():
            assert row.body is not None
            path = await url_of(row, anna) if "{" in row.path else row.path
            answer = await anna.ask(row.method, path, {**row.body, name: value})
            assert is_problem(answer, 422), (row.name, name)
        for name in row.body or {}:
            left_out = {each: value for each, value in (row.body or {}).items() if each != name}
            path = await url_of(row, anna) if "{" in row.path else row.path
            assert is_problem(await anna.ask(row.method, path, left_out), 422), (row.name, name)


async def test_a_parameter_that_nobody_knows_is_refused(api: Api) -> None:
    anna = await api.join()
    for row in TABLE:
        if row.query:
            path = await url_of(row, anna)
            asked = await anna.ask(row.method, f"{path}{'&' if '?' in path else '?'}colour=blue")
            assert is_problem(asked, 422), row.name


async def test_a_body_that_only_hurts_is_refused_by_every_route(api: Api) -> None:
    anna = await api.join()
    for row in TABLE:
        if row.body is None:
            continue
        path = await url_of(row, anna)
        for content, kind, status in WRONG_BODIES:
            answer = await api.client.request(
                row.method, path, content=content, headers={**anna.headers, "Content-Type": kind}
            )
            assert is_problem(answer, status), (row.name, content[:40], kind)


async def test_a_body_over_the_limit_is_413_announced_or_not(api: Api) -> None:
    small = api.another(body_limit_bytes=1000)
    anna = await api.join()

    async def endless() -> Any:
        for _ in range(100):
            yield b" " * 100

    for content in (b" " * 1001, endless()):
        answer = await small.client.post(
            "/v1/deployments",
            content=content,
            headers={**anna.headers, "Content-Type": "application/json"},
        )
        assert is_problem(answer, 413)
    await small.close()


async def test_a_path_without_a_route_is_404_and_a_wrong_method_405(api: Api) -> None:
    anna = await api.join()
    for path in (
        "/nope",
        "/v1/nope",
        "/v1/deployments/",
        "/v1",
        "/V1/images",
        "/v1//images",
        "/%00",
    ):
        assert is_problem(await anna.ask("GET", path), 404), path
    for row in TABLE:
        path = await url_of(row, anna)
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            if has_route(method, path):
                continue
            answer = await anna.ask(method, path, None, X_HTTP_Method_Override=row.method)
            assert is_problem(answer, 405), (method, path)
            allowed = answer.headers["allow"].split(", ")
            assert f"{row.method}" in allowed
            assert method not in allowed


async def test_the_pages_need_nothing_from_elsewhere(api: Api) -> None:
    for page in ("/docs", "/redoc"):
        answer = await api.client.get(page)
        assert answer.status_code == 200
        assert "http" not in answer.text.replace("http-equiv", "")
        assert "script-src 'self';" in answer.headers["content-security-policy"]
        for name in answer.text.split('"/static/')[1:]:
            asset = await api.client.get("/static/" + name.partition('"')[0])
            assert asset.status_code == 200
    assert (await api.client.get("/static/__init__.py")).status_code == 404
    assert "<strong>404 Not Found</strong>" in (await api.client.get("/problems/not_found")).text
    assert is_problem(await api.client.get("/problems/unheard_of"), 404)
