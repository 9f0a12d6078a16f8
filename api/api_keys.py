"""API keys: made, shown, changed, given a new secret, revoked."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AfterValidator, Field
from starlette.responses import Response

from api.answers import Answer, answer, respond
from api.errors import InvalidValue
from api.guard import GuardedRoute
from api.lists import Pagination, TeamPageQuery, pagination_of, sorted_by, window_of
from api.openapi import refusals
from api.proofs import must_be_recent
from api.requests import Read, Write, Writing, etag, reading
from api.schemas import Input, Instant, Integer, Message, Output, identifier
from commands.api_keys import (
    ChangeApiKey,
    ChangedApiKey,
    CreateApiKey,
    CreatedApiKey,
    RevokeApiKey,
    RotateApiKey,
)
from domain.api_keys.values import DEFAULT_SCOPES, NETWORKS_MAX, networks
from domain.kernel.errors import DomainError, NotFound
from domain.kernel.ids import is_id
from domain.kernel.permissions import MANAGES, OWNS
from projections.api_keys import KEY_LISTING, UsedKey, key_by_id, list_keys

router = APIRouter(route_class=GuardedRoute, prefix="/v1/api-keys", tags=["API keys"])

KEY_VIEWS = ("api_keys",)
KeyId = Annotated[str, identifier("key")]
REQUESTS_PER_MINUTE_MAX = 10_000_000
GRACE_SECONDS_MAX = 7 * 24 * 3600
GRACE_SECONDS_DEFAULT = 24 * 3600


def _networks(wanted: list[str]) -> list[str]:
    try:
        return list(networks(wanted))
    except DomainError as error:
        raise ValueError(error.message) from error


Name = Annotated[str, Field(min_length=1, max_length=100)]
Description = Annotated[str, Field(max_length=500)]
Scopes = Annotated[list[str], Field(min_length=1, max_length=50)]
PerMinute = Annotated[Integer, Field(ge=1, le=REQUESTS_PER_MINUTE_MAX)]
Networks = Annotated[
    list[str],
    Field(min_length=1, max_length=NETWORKS_MAX, examples=[["192.0.2.0/24", "2001:db8::/32"]]),
    AfterValidator(_networks),
]


class NewKey(Input):
    """A key to be made."""

    team_id: Annotated[str | None, Field(max_length=40)] = None
    """Whose key it is; the caller's own team unless named."""
    name: Name
    description: Description | None = None
    expires_at: Instant | None = None
    scopes: Scopes | None = None
    allowed_cidrs: Networks | None = None
    """The networks the key may be used from; from everywhere unless some are named."""
    deployment_id: Annotated[str | None, Field(max_length=40)] = None
    """Let the key call this one deployment only."""
    requests_per_minute: PerMinute | None = None
    """How many requests a minute the gateway lets through with this key."""


class KeyChange(Input):
    """What is to be different. What is left out stays; null clears what a key can be without."""

    name: Name = Field(default_factory=str)
    description: Description | None = None
    expires_at: Instant | None = None
    """Null: the key does not expire."""
    scopes: Scopes = Field(default_factory=list)
    allowed_cidrs: Networks | None = None
    """Null: the key may be used from everywhere."""
    requests_per_minute: PerMinute | None = None
    """Null: the limit that a new key gets."""


class Rotation(Input):
    """How the secret before ends."""

    grace_seconds: Annotated[Integer, Field(ge=0, le=GRACE_SECONDS_MAX)] = GRACE_SECONDS_DEFAULT
    """How long it works on, up to its own expiry; with 0 it ends at once."""


class WhatAKeyIs(Output):
    """A key, without its secret."""

    id: str
    team_id: str
    name: str
    description: str | None
    prefix: str
    """The beginning of the key, by which it is recognised."""
    scopes: list[str]
    allowed_cidrs: list[str]
    """Empty: it may be used from everywhere."""
    requests_per_minute: int
    expires_at: datetime | None


class CreatedKey(WhatAKeyIs):
    """A new key, and the only sight of its secret."""

    api_key: str
    created_at: datetime
    last_used: datetime | None


class ChangedKey(WhatAKeyIs):
    """A key after a change."""

    updated_at: datetime


class RotatedKey(ChangedKey):
    """A key after it got a new secret, and the only sight of that."""

    api_key: str
    previous_until: datetime | None
    """How long the secret before works on; null: it has ended."""


class Key(WhatAKeyIs):
    """A key and its use."""

    created_at: datetime
    created_by: str
    last_used: datetime | None
    request_count: int
    previous_until: datetime | None
    """While the key is being rotated: how long the secret before works on."""
    leaked_at: datetime | None
    """When a secret of it was last reported as found where others can read it."""


class Keys(Output):
    """A part of the list of keys."""

    api_keys: list[Key]
    pagination: Pagination


@router.post("", status_code=201, response_model=CreatedKey, responses=refusals(401, 403, 404))
async def create(body: NewKey, write: Writing) -> Response:
    """Make a key. Its secret is shown in this answer and never again."""
    if body.deployment_id is not None and not is_id(body.deployment_id, "dpl"):
        raise NotFound
    command = CreateApiKey(
        team_id=write.team_id("keys:write", named=body.team_id),
        name=body.name,
        description=body.description,
        scopes=tuple(body.scopes or DEFAULT_SCOPES),
        requests_per_minute=body.requests_per_minute or write.options.key_limit_default,
        expires_at=body.expires_at,
        allowed_cidrs=tuple(body.allowed_cidrs or ()),
        deployment_id=body.deployment_id,
    )

    def made(key: CreatedApiKey) -> Answer:
        shown = CreatedKey(
            id=key.key_id,
            team_id=command.team_id,
            name=command.name,
            description=command.description,
            api_key=key.key,
            prefix=key.prefix,
            scopes=list(key.scopes),
            allowed_cidrs=list(key.allowed_cidrs),
            requests_per_minute=command.requests_per_minute,
            created_at=key.created_at,
            expires_at=command.expires_at,
            last_used=None,
        )
        return answer(shown, status=201, headers={"Location": f"/v1/api-keys/{key.key_id}"})

    await _must_be_sure_of(command.scopes, write)
    return await write.dispatch(command, made)


@router.get(
    "", response_model=Keys, responses=refusals(401, 403), openapi_extra=sorted_by(KEY_LISTING)
)
async def list_all(
    query: Annotated[TeamPageQuery, Query()], read: Annotated[Read, reading(*KEY_VIEWS)]
) -> Response:
    """List the keys that were not revoked."""
    team_ids = read.team_ids("keys:read", "keys:write", named=query.team_id)
    window = window_of(query, KEY_LISTING, "api_keys", read.services)
    page = await list_keys(read.views, window, team_ids=team_ids)
    return respond(
        Keys(
            api_keys=[_shown(key, now=read.services.clock()) for key in page.rows],
            pagination=pagination_of(page, window, query, "api_keys", read.services),
        )
    )


@router.get("/{key_id}", response_model=Key, responses=refusals(401, 403, 404))
async def get(key_id: KeyId, read: Annotated[Read, reading(*KEY_VIEWS)]) -> Response:
    """Show one key."""
    key = None
    if is_id(key_id, "key"):
        key = await key_by_id(read.views, key_id, team_ids=read.seen_teams)
    if key is None:
        raise NotFound
    read.must_hold("keys:read", "keys:write", team_id=key.team_id)
    return respond(_shown(key, now=read.services.clock()), headers={"ETag": etag(key.version)})


@router.patch("/{key_id}", response_model=ChangedKey, responses=refusals(401, 403, 404, 409, 412))
async def change(key_id: KeyId, body: KeyChange, write: Writing) -> Response:
    """Change a key. It acts at every gateway within a second."""
    if not is_id(key_id, "key"):
        raise NotFound
    changes: dict[str, Any] = {name: getattr(body, name) for name in body.model_fields_set}
    if not changes:
        raise InvalidValue("Name at least one field that is to be different.")
    if "scopes" in changes:
        changes["scopes"] = tuple(changes["scopes"])
        await _must_be_sure_of(changes["scopes"], write)
    if "allowed_cidrs" in changes:
        changes["allowed_cidrs"] = tuple(changes["allowed_cidrs"] or ())
    if "requests_per_minute" in changes and changes["requests_per_minute"] is None:
        changes["requests_per_minute"] = write.options.key_limit_default
    return await write.dispatch(
        ChangeApiKey(key_id=key_id, **changes),
        lambda key: answer(ChangedKey(**_after(key))),
        resource=key_id,
    )


@router.post(
    "/{key_id}/rotate", response_model=RotatedKey, responses=refusals(401, 403, 404, 409, 412)
)
async def rotate(key_id: KeyId, body: Rotation, write: Writing) -> Response:
    """Give a key a new secret, shown in this answer and never again.

    It stays the same key: what it may do, its limit and its use go on. The secret before works on
    for the grace; one that was on its way out already ends now.
    """
    return await _rotate(key_id, timedelta(seconds=body.grace_seconds), write)


@router.post(
    "/{key_id}/regenerate", response_model=RotatedKey, responses=refusals(401, 403, 404, 409, 412)
)
async def regenerate(key_id: KeyId, write: Writing) -> Response:
    """Give a key a new secret, shown in this answer and never again; the one before ends now."""
    return await _rotate(key_id, timedelta(0), write)


@router.delete("/{key_id}", response_model=Message, responses=refusals(401, 403, 404, 412))
async def revoke(key_id: KeyId, write: Writing) -> Response:
    """Shut a key out, here and at every gateway, within a second."""
    if not is_id(key_id, "key"):
        raise NotFound
    return await write.dispatch(
        RevokeApiKey(key_id=key_id),
        lambda _: answer(Message(message="API key revoked successfully")),
        resource=key_id,
    )


async def _rotate(key_id: str, grace: timedelta, write: Write) -> Response:
    if not is_id(key_id, "key"):
        raise NotFound

    def rotated(key: ChangedApiKey) -> Answer:
        return answer(
            RotatedKey(**_after(key), api_key=key.key, previous_until=key.state.retiring_until)
        )

    return await write.dispatch(RotateApiKey(key_id=key_id, grace=grace), rotated, resource=key_id)


def _after(key: ChangedApiKey) -> dict[str, Any]:
    return {"id": key.state.key_id, "updated_at": key.at, **_what_it_is(key.state)}


def _shown(key: UsedKey, *, now: datetime) -> Key:
    until = key.retiring_until
    return Key(
        id=key.id,
        created_at=key.created_at,
        created_by=key.created_by,
        last_used=key.last_used,
        request_count=key.request_count,
        previous_until=until if until is not None and now < until else None,
        leaked_at=key.leaked_at,
        **_what_it_is(key),
    )


def _what_it_is(key: Any) -> dict[str, Any]:  # noqa: ANN401 - an aggregate's state or a view's row
    return {name: getattr(key, name) for name in WhatAKeyIs.model_fields if name != "id"}


async def _must_be_sure_of(scopes: Collection[str], write: Write) -> None:
    """Ask for a proof not long ago before a key gets power over the team itself."""
    if not (MANAGES | OWNS).isdisjoint(scopes):
        await must_be_recent(write)
