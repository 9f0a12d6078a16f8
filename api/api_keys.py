"""API keys: made, shown, revoked."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from api.answers import Answer, answer, respond
from api.guard import GuardedRoute
from api.lists import PageQuery, Pagination, pagination_of, window_of
from api.openapi import refusals
from api.requests import Read, Writing, etag, reading
from api.schemas import Input, Instant, Integer, Message, Output, identifier
from commands.api_keys import CreateApiKey, CreatedApiKey, RevokeApiKey
from domain.api_keys.values import DEFAULT_SCOPES
from domain.kernel.errors import NotFound
from domain.kernel.ids import is_id
from projections.api_keys import KEY_LISTING, UsedKey, key_by_id, list_keys

router = APIRouter(route_class=GuardedRoute, prefix="/v1/api-keys", tags=["API keys"])

KEY_VIEWS = ("api_keys",)
KeyId = Annotated[str, identifier("key")]


class NewKey(Input):
    """A key to be made."""

    team_id: Annotated[str | None, Field(max_length=40)] = None
    """Whose key it is; the caller's own team unless named."""
    name: Annotated[str, Field(min_length=1, max_length=100)]
    description: Annotated[str | None, Field(max_length=500)] = None
    expires_at: Instant | None = None
    scopes: Annotated[list[str] | None, Field(min_length=1, max_length=50)] = None
    deployment_id: Annotated[str | None, Field(max_length=40)] = None
    """Let the key call this one deployment only."""
    requests_per_minute: Annotated[Integer | None, Field(ge=1, le=10_000_000)] = None
    """How many requests a minute the gateway lets through with this key."""


class CreatedKey(Output):
    """A new key, and the only sight of its secret."""

    id: str
    name: str
    description: str | None
    api_key: str
    prefix: str
    scopes: list[str]
    requests_per_minute: int
    created_at: datetime
    expires_at: datetime | None
    last_used: datetime | None


class Key(Output):
    """A key, without its secret."""

    id: str
    name: str
    description: str | None
    prefix: str
    scopes: list[str]
    requests_per_minute: int
    created_at: datetime
    expires_at: datetime | None
    last_used: datetime | None
    request_count: int


class Keys(Output):
    """A part of the list of keys."""

    api_keys: list[Key]
    pagination: Pagination


@router.post("", status_code=201, response_model=CreatedKey, responses=refusals(401, 403, 404))
async def create(body: NewKey, write: Writing) -> Response:
    """Make a key. Its secret is shown in this answer and never again."""
    if body.deployment_id is not None and not is_id(body.deployment_id, "dpl"):
        raise NotFound
    limit = body.requests_per_minute or write.options.key_limit_default

    def made(key: CreatedApiKey) -> Answer:
        return answer(
            CreatedKey(
                id=key.key_id,
                name=body.name,
                description=body.description,
                api_key=key.key,
                prefix=key.prefix,
                scopes=list(key.scopes),
                requests_per_minute=limit,
                created_at=key.created_at,
                expires_at=body.expires_at,
                last_used=None,
            ),
            status=201,
            headers={"Location": f"/v1/api-keys/{key.key_id}"},
        )

    command = CreateApiKey(
        team_id=write.team_id("keys:write", named=body.team_id),
        name=body.name,
        description=body.description,
        scopes=tuple(body.scopes or DEFAULT_SCOPES),
        requests_per_minute=limit,
        expires_at=body.expires_at,
        deployment_id=body.deployment_id,
    )
    return await write.dispatch(command, made)


@router.get("", response_model=Keys, responses=refusals(401, 403))
async def list_all(
    query: Annotated[PageQuery, Query()], read: Annotated[Read, reading(*KEY_VIEWS)]
) -> Response:
    """List the keys that were not revoked."""
    team_ids = read.team_ids("keys:read", "keys:write")
    window = window_of(query, KEY_LISTING, "api_keys", read.services)
    page = await list_keys(read.views, window, team_ids=team_ids)
    return respond(
        Keys(
            api_keys=[_shown(key) for key in page.rows],
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
    return respond(_shown(key), headers={"ETag": etag(key.version)})


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


def _shown(key: UsedKey) -> Key:
    return Key(
        id=key.id,
        name=key.name,
        description=key.description,
        prefix=key.prefix,
        scopes=list(key.scopes),
        requests_per_minute=key.requests_per_minute,
        created_at=key.created_at,
        expires_at=key.expires_at,
        last_used=key.last_used,
        request_count=key.request_count,
    )
