"""What watchers are told as it happens: the log's events in the words of the contract."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from domain.alerts.events import AlertRaised, AlertResolved
from domain.alerts.values import ABOUT_KEYS, Rule, title_of
from domain.api_keys.events import ApiKeyCreated, ApiKeyRevoked
from domain.certificates.events import (
    CertificateIssued,
    CertificateOrderFailed,
    CertificateUploaded,
)
from domain.custom_domains.events import (
    DomainCheckFailed,
    DomainFailed,
    DomainMoved,
    DomainVerified,
)
from domain.custom_domains.values import DomainStatus, words_of
from domain.deployments.events import (
    DeploymentDeleted,
    DeploymentRequested,
    DeploymentRestarted,
    DeploymentRolledBack,
    DeploymentTransferred,
    DeploymentUpdated,
    RevisionFailed,
)
from domain.deployments.values import Status
from domain.kernel.events import Event
from infrastructure.event_store import RecordedEvent
from projections.deployments import DeploymentRow, deployment_changes, fold_deployment

WATCHED = ("deployments.", "custom_domains.", "certificates.", "api_keys.", "alerts.")
"""Topics that may be told of; the others are not even decoded."""
LIVE_TYPES: Mapping[str, str] = {
    "deployment.created": "A deployment was asked for.",
    "deployment.updated": "It is to run something else, or the same in another way.",
    "deployment.status.changed": "It stands otherwise than before: it runs, stopped, failed.",
    "deployment.revision.failed": "A revision did not come up; the one before goes on.",
    "deployment.transferred": "It belongs to another team from now on. Both teams are told.",
    "deployment.deleted": "It is gone.",
    "domain.verified": "A domain's records are right: it is routed.",
    "domain.failed": "A domain's records are not right.",
    "domain.moved": "A domain leads to another deployment of the team.",
    "domain.certificate.issued": "A domain has a certificate, for the first time or anew.",
    "domain.certificate.failed": "A domain's certificate could not be had; it is tried again.",
    "key.created": "An API key was made.",
    "key.updated": "An API key may do something else, or has another secret.",
    "key.revoked": "An API key is shut out.",
    "alert.raised": "Something is wrong with what the team runs.",
    "alert.resolved": "It is not any more.",
    "limit.breached": "A key is refused again and again because of its limit.",
}
"""Every type there is, and what it tells. What webhooks may ask for."""
DEPLOYMENTS_MAX = 10_000
_KEY_TYPES: dict[type[object], str] = {ApiKeyCreated: "key.created", ApiKeyRevoked: "key.revoked"}


class LiveEvent(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One message to watchers."""

    cursor: str
    """Where to go on after it: `?since=<cursor>`. A position of the log, and which of the several
    messages that one event may make."""
    type: str
    team_id: str
    timestamp: datetime
    deployment_id: str | None = None
    key_id: str | None = None
    data: dict[str, Any] = {}


class Narrator:
    """Tells a stretch of the log, read in order. Remembers how each deployment stood before."""

    def __init__(self, past_of: Callable[[str, int], Awaitable[DeploymentRow | None]]) -> None:
        """Take what returns a deployment's row as it was before a position."""
        self._past_of = past_of
        self._rows: dict[str, DeploymentRow | None] = {}

    async def tell(self, event: object, recorded: RecordedEvent) -> Sequence[LiveEvent]:
        """Return what watchers are told of an event."""
        for _, change in deployment_changes(event, recorded):
            return await self._deployment(change, recorded)
        match event:
            case DomainCheckFailed(recurring=True):
                return []
            case DomainVerified() | DomainCheckFailed() | DomainFailed() | DomainMoved():
                return [_of_domain(event, recorded)]
            case AlertRaised() | AlertResolved():
                return _of_alert(event, recorded)
            case CertificateIssued() | CertificateUploaded() | CertificateOrderFailed():
                return [_of_certificate(event, recorded)]
        is_of_key = recorded.topic.startswith("api_keys.")
        kind = _KEY_TYPES.get(type(event), "key.updated")
        return [_of_key(kind, recorded)] if is_of_key else []

    async def _deployment(self, event: Event, recorded: RecordedEvent) -> Sequence[LiveEvent]:
        name = recorded.stream_id
        if name not in self._rows:
            self._rows[name] = await self._past_of(name, recorded.position)
        before = self._rows.pop(name)
        after = fold_deployment(before, event, recorded)
        self._rows[name] = after
        if len(self._rows) > DEPLOYMENTS_MAX:
            del self._rows[next(iter(self._rows))]
        return _told_of(event, recorded, before, after)


def _told_of(
    event: Event,
    recorded: RecordedEvent,
    before: DeploymentRow | None,
    after: DeploymentRow | None,
) -> list[LiveEvent]:
    row = after or before
    if row is None:
        return []
    data: dict[str, Any] = {"status": after.status if after is not None else Status.DELETED}
    if before is not None:
        data["previousStatus"] = before.status
    kinds: list[tuple[str, dict[str, Any]]] = []
    match event:
        case DeploymentRequested():
            kinds.append(("deployment.created", data))
        case DeploymentUpdated() | DeploymentRestarted() | DeploymentRolledBack():
            kinds.append(("deployment.updated", {**data, "revision": event.revision}))
        case DeploymentTransferred():
            teams = {"teamId": event.team_id, "fromTeamId": event.from_team_id}
            kinds.append(("deployment.transferred", {**data, **teams, "revision": event.revision}))
        case RevisionFailed():
            more = {"revision": event.revision, "reason": event.reason}
            kinds.append(("deployment.revision.failed", {**data, **more}))
        case DeploymentDeleted():
            kinds.append(("deployment.deleted", data))
    if before is not None and after is not None and before.status is not after.status:
        reason = {"reason": after.failure} if after.failure else {}
        kinds.append(("deployment.status.changed", {**data, **reason}))
    told = [(row.team_id, kind, what) for kind, what in kinds]
    if isinstance(event, DeploymentTransferred):  # the team before hears of it, too
        told.append((event.from_team_id, *kinds[0]))
    return [
        LiveEvent(
            cursor=f"{recorded.position}.{number}",
            type=kind,
            team_id=team_id,
            timestamp=recorded.recorded_at,
            deployment_id=row.id,
            data=what,
        )
        for number, (team_id, kind, what) in enumerate(told, start=1)
    ]


def _of_domain(
    event: DomainVerified | DomainCheckFailed | DomainFailed | DomainMoved, recorded: RecordedEvent
) -> LiveEvent:
    data: dict[str, Any] = {"domainId": recorded.stream_id, "domain": event.name}
    kind = "domain.failed"
    match event:
        case DomainMoved():
            kind = "domain.moved"
            data["fromDeploymentId"] = event.from_deployment_id
        case DomainVerified():
            kind = "domain.verified"
            data |= {"status": DomainStatus.ACTIVE, "previousStatus": event.previously}
        case DomainCheckFailed():  # it may be tried again: then it is not `failed` yet
            data |= {"status": event.status, "previousStatus": event.status}
        case DomainFailed():
            data |= {"status": DomainStatus.FAILED, "previousStatus": event.previously}
    if isinstance(event, DomainCheckFailed | DomainFailed):
        data["reason"] = words_of(event.problems)
    return LiveEvent(
        cursor=f"{recorded.position}.1",
        type=kind,
        team_id=recorded.metadata.team_id or "",
        timestamp=recorded.recorded_at,
        deployment_id=event.deployment_id,
        data=data,
    )


def _of_certificate(
    event: CertificateIssued | CertificateUploaded | CertificateOrderFailed,
    recorded: RecordedEvent,
) -> LiveEvent:
    data: dict[str, Any] = {"domainId": event.domain_id, "domain": event.name}
    failed = isinstance(event, CertificateOrderFailed)
    if isinstance(event, CertificateOrderFailed):
        data |= {"reason": event.reason, "failures": event.failures, "retryAt": event.retry_at}
    else:
        data |= {"issuer": event.issuer, "notAfter": event.not_after}
    return LiveEvent(
        cursor=f"{recorded.position}.1",
        type="domain.certificate.failed" if failed else "domain.certificate.issued",
        team_id=event.team_id,
        timestamp=recorded.recorded_at,
        data=data,
    )


def _of_key(kind: str, recorded: RecordedEvent) -> LiveEvent:
    return LiveEvent(
        cursor=f"{recorded.position}.1",
        type=kind,
        team_id=recorded.metadata.team_id or "",
        timestamp=recorded.recorded_at,
        key_id=recorded.stream_id,
    )


def _of_alert(event: AlertRaised | AlertResolved, recorded: RecordedEvent) -> list[LiveEvent]:
    if event.team_id is None:  # about the platform itself: no team's business
        return []
    data: dict[str, Any] = {
        "alertId": event.alert_id,
        "rule": event.rule,
        "subject": event.subject,
    }
    deployment_id = None
    if isinstance(event, AlertRaised):
        deployment_id = event.deployment_id
        data |= {"title": title_of(event.rule, event.facts), "facts": event.facts}
    else:
        data["reason"] = event.reason
    kinds = ["alert.raised" if isinstance(event, AlertRaised) else "alert.resolved"]
    if isinstance(event, AlertRaised) and event.rule is Rule.LIMIT_BREACHED:
        kinds.append("limit.breached")
    return [
        LiveEvent(
            cursor=f"{recorded.position}.{number}",
            type=kind,
            team_id=event.team_id,
            timestamp=recorded.recorded_at,
            deployment_id=deployment_id,
            key_id=event.subject if event.rule in ABOUT_KEYS else None,
            data=data,
        )
        for number, kind in enumerate(kinds, start=1)
    ]
