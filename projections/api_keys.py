"""The keys there are, and how much each was used."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import msgspec

from domain.api_keys.events import (
    ApiKeyCreated,
    ApiKeyDescribed,
    ApiKeyExpiryAnnounced,
    ApiKeyExpirySet,
    ApiKeyGraceEnded,
    ApiKeyLeaked,
    ApiKeyLimitSet,
    ApiKeyNetworksAllowed,
    ApiKeyRevoked,
    ApiKeyRotated,
    ApiKeyScopesGranted,
)
from domain.api_keys.values import EXPIRY_ANNOUNCED_DAYS, fields_after
from domain.kernel.events import Event
from domain.metering.events import ApiKeysUsed, RequestsServed
from domain.metering.values import decode_frame
from domain.teams.values import Role
from infrastructure.event_store import RecordedEvent
from infrastructure.stream import Topic
from projections.reading import Listing, Page, Reader, Window
from projections.view import Change, View


class ApiKeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A key, without its secret."""

    id: str
    team_id: str
    created_by: str
    name: str
    description: str | None
    prefix: str
    secret_hash: str
    retiring_hash: str | None = None
    """Of the secret before, which works on until `retiring_until`."""
    retiring_until: datetime | None = None
    scopes: tuple[str, ...]
    requests_per_minute: int
    allowed_cidrs: tuple[str, ...] = ()
    created_at: datetime
    expires_at: datetime | None = None
    expiry_set_at: datetime
    announced_days: int | None = None
    """How near to this expiry it was announced."""
    leaked_at: datetime | None = None
    revoked_at: datetime | None = None
    version: int = 1


class KeyUsageRow(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway saw of a key."""

    key_id: str
    requests: int
    last_used: datetime


KEY_EVENTS = (
    ApiKeyCreated
    | ApiKeyDescribed
    | ApiKeyScopesGranted
    | ApiKeyNetworksAllowed
    | ApiKeyExpirySet
    | ApiKeyExpiryAnnounced
    | ApiKeyLimitSet
    | ApiKeyRotated
    | ApiKeyGraceEnded
    | ApiKeyLeaked
    | ApiKeyRevoked
)


def key_changes(event: object, _: RecordedEvent) -> Sequence[Change]:
    """Return the key that an event is about."""
    return [((event.key_id,), event)] if isinstance(event, KEY_EVENTS) else []


def _fold_key(row: ApiKeyRow | None, event: Event, recorded: RecordedEvent) -> ApiKeyRow | None:
    match event:
        case ApiKeyCreated():
            return ApiKeyRow(
                id=event.key_id,
                team_id=event.team_id,
                created_by=event.created_by,
                name=event.name,
                description=event.description,
                prefix=event.prefix,
                secret_hash=event.secret_hash,
                scopes=event.scopes,
                requests_per_minute=event.requests_per_minute,
                allowed_cidrs=event.allowed_cidrs,
                created_at=recorded.recorded_at,
                expires_at=event.expires_at,
                expiry_set_at=recorded.recorded_at,
                version=recorded.version,
            )
        case _ if row is None:
            return None
        case ApiKeyExpirySet():
            row = msgspec.structs.replace(row, expiry_set_at=recorded.recorded_at)
        case ApiKeyLeaked():
            row = msgspec.structs.replace(row, leaked_at=recorded.recorded_at)
        case ApiKeyRevoked():
            row = msgspec.structs.replace(row, revoked_at=recorded.recorded_at)
    return msgspec.structs.replace(row, **fields_after(row, event), version=recorded.version)


API_KEYS = View(
    name="api_keys",
    version=3,
    topic=Topic.EVENTS,
    row=ApiKeyRow,
    key=("id",),
    changes=key_changes,
    fold=_fold_key,
    indexes=("UNIQUE secret_hash", "UNIQUE retiring_hash", "team_id, created_at, id", "created_by"),
)


def _usage_changes(event: object, _: RecordedEvent) -> Sequence[Change]:
    if not isinstance(event, RequestsServed):
        return []
    seen: dict[str, KeyUsageRow] = {}
    for line in decode_frame(event):
        if line.key_id:
            at = datetime.fromtimestamp(line.time / 1000, UTC)
            one = KeyUsageRow(key_id=line.key_id, requests=1, last_used=at)
            seen[line.key_id] = _add(seen.get(line.key_id), one)
    return [((key_id,), usage) for key_id, usage in seen.items()]


def _fold_usage(row: KeyUsageRow | None, more: KeyUsageRow, _: RecordedEvent) -> KeyUsageRow:
    return _add(row, more)


def _add(row: KeyUsageRow | None, more: KeyUsageRow) -> KeyUsageRow:
    if row is None:
        return more
    return KeyUsageRow(
        key_id=row.key_id,
        requests=row.requests + more.requests,
        last_used=max(row.last_used, more.last_used),
    )


KEY_USAGE = View(
    name="key_usage",
    version=1,
    topic=Topic.REQUESTS,
    row=KeyUsageRow,
    key=("key_id",),
    changes=_usage_changes,
    fold=_fold_usage,
)


class KeyCallRow(msgspec.Struct, frozen=True, kw_only=True):
    """When a key was last used at the REST API, to the minute."""

    key_id: str
    last_used: datetime


def _call_changes(event: object, _: RecordedEvent) -> Sequence[Change]:
    if not isinstance(event, ApiKeysUsed):
        return []
    return [((key_id,), KeyCallRow(key_id=key_id, last_used=event.at)) for key_id in event.key_ids]


def _fold_call(row: KeyCallRow | None, call: KeyCallRow, _: RecordedEvent) -> KeyCallRow:
    return call if row is None or row.last_used < call.last_used else row


KEY_CALLS = View(
    name="key_calls",
    version=1,
    topic=Topic.EVENTS,
    row=KeyCallRow,
    key=("key_id",),
    changes=_call_changes,
    fold=_fold_call,
)


class UsedKey(ApiKeyRow, frozen=True, kw_only=True):
    """A key, what the gateways saw of it, and when it was last used there or at the REST API."""

    request_count: int
    last_used: datetime | None


KEY_LISTING = Listing(
    sorts={"createdAt": "created_at", "name": "name"},
    sort_default="-createdAt",
    id_column="id",
    kinds=API_KEYS.columns,
)


class PresentedKey(ApiKeyRow, frozen=True, kw_only=True):
    """A key, and how the person stands now who made it, or made the key it was made with."""

    forsaken: bool
    """The maker is no longer in its team."""
    suspended: bool
    maker_role: Role | None
    """The maker's role in its team; None while no view knows it."""


async def key_by_hash(reader: Reader, secret_hash: str) -> PresentedKey | None:
    """Return the key of which one secret, the current or the one before, has this hash."""
    return await reader.row(
        PresentedKey,
        "SELECT k.*, m.* FROM views.api_keys AS k CROSS JOIN LATERAL"
        " (WITH RECURSIVE makers AS (SELECT k.created_by AS maker UNION"
        "  SELECT p.created_by FROM makers JOIN views.api_keys AS p ON p.id = makers.maker)"
        "  SELECT count(d.user_id) > 0 AS forsaken, max(member.role) AS maker_role,"
        "   coalesce(bool_or(u.suspended), false) AS suspended FROM makers"
        "  LEFT JOIN views.departures AS d ON d.team_id = k.team_id AND d.user_id = maker"
        "  LEFT JOIN views.members AS member"
        "   ON member.team_id = k.team_id AND member.user_id = maker"
        "  LEFT JOIN views.users AS u ON u.id = maker) AS m"
        " WHERE k.secret_hash = %s OR k.retiring_hash = %s",
        secret_hash,
        secret_hash,
    )


async def keys_by_hashes(reader: Reader, secret_hashes: Collection[str]) -> dict[str, ApiKeyRow]:
    """Return the keys that have a secret with one of these hashes, by those hashes."""
    rows = await reader.rows(
        ApiKeyRow,
        "SELECT * FROM views.api_keys WHERE secret_hash = ANY(%s) OR retiring_hash = ANY(%s)",
        list(secret_hashes),
        list(secret_hashes),
    )
    by_hash = {each: row for row in rows for each in (row.retiring_hash, row.secret_hash) if each}
    return {each: row for each, row in by_hash.items() if each in secret_hashes}


class ExpiringKey(msgspec.Struct, frozen=True):
    """A key that expires soon, and the nearest of the days on which that is said."""

    id: str
    days_before: int


async def expiring_keys(reader: Reader, *, now: datetime, limit: int) -> Sequence[ExpiringKey]:
    """Return keys of which it is to be said that they expire soon.

    A day that had passed when the expiry was set is left out: who sets it to tomorrow knows.
    """
    return await reader.rows(
        ExpiringKey,
        "SELECT id, min(days) AS days_before FROM views.api_keys, unnest(%s::bigint[]) AS days"
        " WHERE revoked_at IS NULL AND expires_at > %s"
        " AND expires_at - make_interval(days => days::int) BETWEEN expiry_set_at AND %s"
        " GROUP BY id HAVING min(days) < coalesce(min(announced_days), %s)"
        " ORDER BY id LIMIT %s",
        list(EXPIRY_ANNOUNCED_DAYS),
        now,
        now,
        max(EXPIRY_ANNOUNCED_DAYS) + 1,
        limit,
    )


async def key_by_id(reader: Reader, key_id: str, *, team_ids: Sequence[str]) -> UsedKey | None:
    """Return one of these teams' keys, unless it was revoked."""
    return await reader.row(
        UsedKey,
        "SELECT k.*, coalesce(u.requests, 0) AS request_count,"
        " greatest(u.last_used, c.last_used) AS last_used FROM views.api_keys AS k"
        " LEFT JOIN views.key_usage AS u ON u.key_id = k.id"
        " LEFT JOIN views.key_calls AS c ON c.key_id = k.id"
        " WHERE k.id = %s AND k.team_id = ANY(%s) AND k.revoked_at IS NULL",
        key_id,
        list(team_ids),
    )


async def list_keys(reader: Reader, window: Window, *, team_ids: Sequence[str]) -> Page[UsedKey]:
    """Return these teams' keys that were not revoked."""
    return await reader.page(
        UsedKey,
        "SELECT k.*, coalesce(u.requests, 0) AS request_count,"
        " greatest(u.last_used, c.last_used) AS last_used FROM views.api_keys AS k"
        " LEFT JOIN views.key_usage AS u ON u.key_id = k.id"
        " LEFT JOIN views.key_calls AS c ON c.key_id = k.id"
        " WHERE k.team_id = ANY(%s) AND k.revoked_at IS NULL",
        list(team_ids),
        listing=KEY_LISTING,
        window=window,
    )


async def count_keys(reader: Reader, *, team_ids: Sequence[str]) -> int:
    """Return how many keys these teams have that were not revoked."""
    return await reader.number(
        "SELECT count(*) FROM views.api_keys WHERE team_id = ANY(%s) AND revoked_at IS NULL",
        list(team_ids),
    )
