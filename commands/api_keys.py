"""Create a key, change what it is and may do, give it a new secret, shut it out."""

import contextlib
import secrets
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

import msgspec
from msgspec import UNSET, UnsetType

from commands.bus import Command, Handlers
from commands.mail import request_mail
from commands.teams import owners_of
from commands.work import Loaded, Work
from domain.api_keys.api_key import API_KEY, ApiKey, must_be_in_the_future
from domain.api_keys.events import (
    ApiKeyCreated,
    ApiKeyGraceEnded,
    ApiKeyLeaked,
    ApiKeyRevoked,
)
from domain.api_keys.values import (
    BASE62,
    PREFIX,
    PUBLIC_LENGTH,
    SECRET_LENGTH,
    assemble_key,
    hash_of,
    networks,
)
from domain.deployments.deployment import DEPLOYMENT
from domain.kernel.errors import NotAllowed, NotFound
from domain.kernel.events import Event
from domain.kernel.permissions import scopes
from domain.mail.values import Template
from infrastructure.sealing import KeyDestroyed


class CreateApiKey(Command, frozen=True, kw_only=True):
    """Make a key for one team."""

    team_id: str
    name: str
    description: str | None = None
    scopes: tuple[str, ...]
    requests_per_minute: int
    expires_at: datetime | None = None
    allowed_cidrs: tuple[str, ...] = ()
    deployment_id: str | None = None
    """Restricts the key's calls to this one deployment."""


class ChangeApiKey(Command, frozen=True, kw_only=True):
    """Change what is set here and leave the rest as it is."""

    key_id: str
    name: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    scopes: tuple[str, ...] | UnsetType = UNSET
    requests_per_minute: int | UnsetType = UNSET
    expires_at: datetime | UnsetType | None = UNSET
    allowed_cidrs: tuple[str, ...] | UnsetType = UNSET


class RotateApiKey(Command, frozen=True, kw_only=True):
    """Give a key a new secret and let the one before work on for a while, or not at all."""

    key_id: str
    grace: timedelta


class RevokeApiKey(Command, frozen=True, kw_only=True):
    """Shut a key out."""

    key_id: str
    reason: str = "revoked by its owner"


class AnnounceKeyExpiry(Command, frozen=True, kw_only=True):
    """Tell a key's team that it expires soon. Comes from a worker, at least once."""

    key_id: str
    days_before: int


class FoundKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that was found where others can read it."""

    key_id: str
    secret_hash: str
    prefix: str
    """Its public beginning, by which its team recognises it."""
    url: str | None = None
    """Where, if that was said."""


class ReportLeakedKeys(Command, frozen=True, kw_only=True):
    """Say that keys were found. Comes from whoever found them: having a key is proof enough.

    One command may change several keys: a report is taken as a whole or not at all, so that it can
    be answered once and sent again.
    """

    found: tuple[FoundKey, ...]
    reported_by: str
    revoke: bool
    """Shut them out at once; otherwise their teams are only told."""


class CreatedApiKey(msgspec.Struct, frozen=True):
    """The new key, and the only sight of its secret."""

    key_id: str
    key: str
    prefix: str
    scopes: tuple[str, ...]
    allowed_cidrs: tuple[str, ...]
    created_at: datetime


class ChangedApiKey(msgspec.Struct, frozen=True):
    """The key after the command; `key` is the only sight of a new secret."""

    state: ApiKey
    at: datetime
    key: str = ""


async def create_api_key(command: CreateApiKey, work: Work) -> CreatedApiKey:
    """Make a key. Nobody can give away by a key more than they may do themselves."""
    work.must_hold("keys:write", team_id=command.team_id)
    must_be_in_the_future(command.expires_at, now=work.now)
    granted = scopes(command.scopes)
    if command.deployment_id is not None:
        deployment = (await work.load(DEPLOYMENT, command.deployment_id)).present
        if deployment.team_id != command.team_id:
            raise NotFound
        granted = tuple(sorted({*granted, f"call:{command.deployment_id}"} - {"call:*"}))
    _must_hold_all(granted, work, team_id=command.team_id)
    allowed_cidrs = networks(command.allowed_cidrs)
    key_id = work.new_id("key")
    prefix, key, secret_hash = _new_secret()
    created = work.create(API_KEY, key_id)
    work.record(
        created,
        [
            ApiKeyCreated(
                key_id=key_id,
                team_id=command.team_id,
                created_by=work.actor.user_id or work.actor.id,
                name=command.name,
                description=command.description,
                prefix=prefix,
                secret_hash=secret_hash,
                scopes=granted,
                requests_per_minute=command.requests_per_minute,
                expires_at=command.expires_at,
                allowed_cidrs=allowed_cidrs,
            )
        ],
    )
    return CreatedApiKey(key_id, key, prefix, granted, allowed_cidrs, work.now)


async def change_api_key(command: ChangeApiKey, work: Work) -> ChangedApiKey:
    """Change a key. Who changes it must hold all that it may do afterwards."""
    loaded = await _theirs(command.key_id, work)
    key = loaded.present
    granted = key.scopes if command.scopes is UNSET else scopes(command.scopes)
    _must_hold_all(granted, work, team_id=key.team_id)
    work.record(
        loaded, [*_described(key, command), *key.grant(granted), *_bounds(key, command, work)]
    )
    return ChangedApiKey(loaded.present, work.now)


async def rotate_api_key(command: RotateApiKey, work: Work) -> ChangedApiKey:
    """Give a key a new secret. Who sees the secret must hold all that the key may do."""
    loaded = await _theirs(command.key_id, work)
    _must_hold_all(loaded.present.scopes, work, team_id=loaded.present.team_id)
    prefix, key, secret_hash = _new_secret()
    work.record(
        loaded,
        loaded.present.rotate(
            prefix=prefix, secret_hash=secret_hash, grace=command.grace, now=work.now
        ),
    )
    return ChangedApiKey(loaded.present, work.now, key)


async def revoke_api_key(command: RevokeApiKey, work: Work) -> None:
    """Shut the key out. Revoking twice changes nothing."""
    key = await _theirs(command.key_id, work)
    work.record(key, key.present.revoke(reason=command.reason))


async def report_leaked_keys(command: ReportLeakedKeys, work: Work) -> None:
    """Take in what was found. Reporting twice changes nothing."""
    for found in command.found:
        key = await work.load(API_KEY, found.key_id)
        reported = key.present.report_leak(
            secret_hash=found.secret_hash,
            reported_by=command.reported_by,
            url=found.url,
            revoke=command.revoke,
            now=work.now,
        )
        work.record(key, reported)
        if any(isinstance(event, ApiKeyLeaked) for event in reported):
            told = {"prefix": found.prefix, "outcome": _outcome(reported)}
            await _tell_owners(key.present, Template.KEY_LEAKED, told, work)


async def announce_key_expiry(command: AnnounceKeyExpiry, work: Work) -> None:
    """Tell the owners, once for each of the days."""
    key = await work.load(API_KEY, command.key_id)
    announced = key.present.announce_expiry(days_before=command.days_before, now=work.now)
    work.record(key, announced)
    expires_at = key.present.expires_at
    if announced and expires_at is not None:
        told = {"prefix": key.present.prefix, "expires_at": f"{expires_at:%Y-%m-%d %H:%M} UTC"}
        await _tell_owners(key.present, Template.KEY_EXPIRING, told, work)


HANDLERS: Handlers = {
    AnnounceKeyExpiry: announce_key_expiry,
    CreateApiKey: create_api_key,
    ChangeApiKey: change_api_key,
    RotateApiKey: rotate_api_key,
    RevokeApiKey: revoke_api_key,
    ReportLeakedKeys: report_leaked_keys,
}


async def _theirs(key_id: str, work: Work) -> Loaded[ApiKey]:
    key = await work.load(API_KEY, key_id)
    work.must_hold("keys:write", team_id=key.present.team_id)
    return key


async def _tell_owners(
    key: ApiKey, template: Template, told: Mapping[str, str], work: Work
) -> None:
    for user_id in await owners_of(key.team_id, work):
        with contextlib.suppress(KeyDestroyed, NotFound):  # erased: nobody is left to be told
            await request_mail(
                work,
                template=template,
                user_id=user_id,
                parameters={"name": key.name, **told},
            )


def _outcome(reported: list[Event]) -> str:
    """Return what became of a leaked secret, for the mail."""
    match reported[-1]:
        case ApiKeyRevoked():
            return "revoked"
        case ApiKeyGraceEnded():
            return "secret_ended"
    return "still_works"


def _must_hold_all(granted: Collection[str], work: Work, *, team_id: str) -> None:
    for scope in granted:
        if not work.actor.holds(scope, team_id=team_id):
            raise NotAllowed(f"You cannot grant {scope!r}: you do not hold it.", scope=scope)


def _described(key: ApiKey, command: ChangeApiKey) -> list[Event]:
    return key.describe(
        name=key.name if command.name is UNSET else command.name,
        description=key.description if command.description is UNSET else command.description,
    )


def _bounds(key: ApiKey, command: ChangeApiKey, work: Work) -> list[Event]:
    events: list[Event] = []
    if command.expires_at is not UNSET:
        events += key.expire(command.expires_at, now=work.now)
    if command.allowed_cidrs is not UNSET:
        events += key.allow_from(networks(command.allowed_cidrs))
    if command.requests_per_minute is not UNSET:
        events += key.limit(command.requests_per_minute)
    return events


def _new_secret() -> tuple[str, str, str]:
    """Return a new key's public beginning, the whole key, and what is kept of it."""
    public = _random(PUBLIC_LENGTH)
    key = assemble_key(public, _random(SECRET_LENGTH))
    return PREFIX + public, key, hash_of(key)


def _random(length: int) -> str:
    return "".join(secrets.choice(BASE62) for _ in range(length))
