"""Create a key, revoke it."""

import hashlib
import secrets
from datetime import datetime

import msgspec

from commands.bus import Command, Handlers
from commands.work import Work
from domain.api_keys.api_key import API_KEY, must_be_in_the_future
from domain.api_keys.events import ApiKeyCreated
from domain.api_keys.values import (
    BASE62,
    PREFIX,
    PUBLIC_LENGTH,
    SECRET_LENGTH,
    assemble_key,
)
from domain.deployments.deployment import DEPLOYMENT
from domain.kernel.errors import NotAllowed, NotFound
from domain.kernel.permissions import scopes


class CreateApiKey(Command, frozen=True, kw_only=True):
    """Make a key for one team."""

    team_id: str
    name: str
    description: str | None = None
    scopes: tuple[str, ...]
    requests_per_minute: int
    expires_at: datetime | None = None
    deployment_id: str | None = None
    """Restricts the key's calls to this one deployment."""


class RevokeApiKey(Command, frozen=True, kw_only=True):
    """Shut a key out."""

    key_id: str
    reason: str = "revoked by its owner"


class CreatedApiKey(msgspec.Struct, frozen=True):
    """The new key, and the only sight of its secret."""

    key_id: str
    key: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime


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
    for scope in granted:
        if not work.actor.holds(scope, team_id=command.team_id):
            raise NotAllowed(f"You cannot grant {scope!r}: you do not hold it.", scope=scope)
    key_id = work.new_id("key")
    public = _random(PUBLIC_LENGTH)
    key = assemble_key(public, _random(SECRET_LENGTH))
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
                prefix=PREFIX + public,
                secret_hash=hashlib.sha256(key.encode()).hexdigest(),
                scopes=granted,
                requests_per_minute=command.requests_per_minute,
                expires_at=command.expires_at,
            )
        ],
    )
    return CreatedApiKey(key_id, key, PREFIX + public, granted, work.now)


async def revoke_api_key(command: RevokeApiKey, work: Work) -> None:
    """Shut the key out. Revoking twice changes nothing."""
    key = await work.load(API_KEY, command.key_id)
    work.must_hold("keys:write", team_id=key.present.team_id)
    work.record(key, key.present.revoke(reason=command.reason))


HANDLERS: Handlers = {CreateApiKey: create_api_key, RevokeApiKey: revoke_api_key}


def _random(length: int) -> str:
    return "".join(secrets.choice(BASE62) for _ in range(length))
