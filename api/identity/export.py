"""Everything held about oneself, as one JSON document that is written while it is read."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response, StreamingResponse

from api.addresses import opened_addresses
from api.audit import Entry, entry_of
from api.guard import GuardedRoute
from api.openapi import refusals
from api.proofs import must_be_recent
from api.requests import Read, reading
from api.schemas import Output
from commands.mail import ADDRESS_PURPOSE, PARAMETER_PURPOSE
from domain.deployments.values import Status
from domain.identity.values import SignInMethod
from domain.kernel.errors import NotFound
from domain.kernel.events import ERASED
from domain.mail.events import MailRequested
from domain.teams.values import Role
from infrastructure.event_store import RecordedEvent
from infrastructure.sealing import Vault, mask, opened
from projections.audit import NEVER_SHOWN, public_content
from projections.identity import UserRow, user_by_id
from projections.personal_data import (
    deployments_of,
    events_about,
    keys_made_by,
    memberships_of,
    sessions_of,
)

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["Identity"])

FORMAT = 1
SECRETS = NEVER_SHOWN | {"secret"}
"""What proves who somebody is stays where it is, even from themselves."""


class OwnAccount(Output):
    """The account."""

    id: str
    team_id: str
    username: str
    email: str
    status: str
    created_at: datetime
    last_login: datetime | None


class OwnSession(Output):
    """A sign-in."""

    id: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    method: SignInMethod
    ended: bool
    address: str | None
    user_agent: str | None


class OwnTeam(Output):
    """A team one is in."""

    id: str
    name: str
    personal: bool
    role: Role
    since: datetime


class OwnKey(Output):
    """A key one made."""

    id: str
    team_id: str
    name: str
    description: str | None
    prefix: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class OwnDeployment(Output):
    """What the personal team runs."""

    id: str
    app_name: str
    image: str
    status: Status
    created_at: datetime


class PersonalData(Output):
    """Everything held about a person."""

    format: int
    exported_at: datetime
    profile: OwnAccount
    sessions: list[OwnSession]
    teams: list[OwnTeam]
    api_keys: list[OwnKey]
    deployments: list[OwnDeployment]
    events: list[Entry]
    """All that the person did and all that happened to them, mails included, with what is personal
    in clear."""


@router.get("/user/export", response_model=PersonalData, responses=refusals(401, 403, 404))
async def export(
    read: Annotated[
        Read, reading("users", "sessions", "members", "teams", "api_keys", "deployments", "audit")
    ],
) -> Response:
    """Hand out everything held about oneself. Needs a proof of the last 15 minutes."""
    user_id = read.must_be_a_person()
    await must_be_recent(read)
    user = await user_by_id(read.views, user_id)
    if user is None:
        raise NotFound
    return StreamingResponse(
        _document(read, user),
        media_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="tallyport-{user_id}.json"'},
    )


async def _document(read: Read, user: UserRow) -> AsyncIterator[bytes]:
    views = read.views
    account = OwnAccount(
        id=user.id,
        team_id=user.team_id,
        username=user.username,
        email=user.email,
        status=user.status,
        created_at=user.created_at,
        last_login=user.last_login,
    )
    yield b'{"format":%d,"exportedAt":%s,"profile":%s' % (
        FORMAT,
        msgspec.json.encode(read.services.clock()),
        _json(account),
    )
    sections: tuple[tuple[bytes, AsyncIterator[Sequence[Any]], Callable[[Any], BaseModel]], ...] = (
        (b"sessions", _with_addresses(read, user.id), lambda row: row),
        (b"teams", memberships_of(views, user.id), lambda row: OwnTeam(**_fields(row))),
        (b"apiKeys", keys_made_by(views, user.id), lambda row: OwnKey(**_fields(row))),
        (
            b"deployments",
            deployments_of(views, user.team_id),
            lambda row: OwnDeployment(**_fields(row)),
        ),
        (b"events", _entries(read, user.id), lambda row: row),
    )
    for name, pages, shape in sections:
        yield b',"%s":[' % name
        between = b""
        async for page in pages:
            if page:
                yield between + b",".join(_json(shape(row)) for row in page)
                between = b","
        yield b"]"
    yield b"}"


async def _with_addresses(read: Read, user_id: str) -> AsyncIterator[Sequence[OwnSession]]:
    async for page in sessions_of(read.views, user_id):
        addresses = await opened_addresses(read.services.vault, [row.address for row in page])
        yield [
            OwnSession(**{**_fields(row), "address": address})
            for row, address in zip(page, addresses, strict=True)
        ]


async def _entries(read: Read, user_id: str) -> AsyncIterator[Sequence[Entry]]:
    """Return the events themselves: what the audit list masks is in clear here."""
    async for page in events_about(read.views, user_id):
        addresses = await opened_addresses(read.services.vault, [row.address for row in page])
        stored = await read.services.log.read_at([row.position for row in page])
        contents = await _contents(read, user_id, stored)
        yield [
            entry_of(row, address=address, content=contents.get(row.position, {}))
            for row, address in zip(page, addresses, strict=True)
        ]


async def _contents(
    read: Read, user_id: str, stored: Sequence[RecordedEvent]
) -> dict[int, dict[str, Any]]:
    decoded = await read.services.decoder.decode_all(stored)
    vault = read.services.vault
    return {
        recorded.position: _content(event, vault)
        if getattr(event, "user_id", user_id) == user_id
        else public_content(recorded.data)  # what they did to somebody else
        for recorded, event in zip(stored, decoded, strict=True)
    }


def _content(event: object, vault: Vault) -> dict[str, Any]:
    if not isinstance(event, msgspec.Struct):
        return {"unreadable": True}
    if isinstance(event, MailRequested):
        event = msgspec.structs.replace(
            event,
            address=_opened(vault, event.address, ADDRESS_PURPOSE),
            parameters={
                name: _opened(vault, text, PARAMETER_PURPOSE)
                for name, text in event.parameters.items()
            },
        )
    content = {
        name: value for name, value in msgspec.to_builtins(event).items() if name not in SECRETS
    }
    masked: dict[str, Any] = msgspec.json.decode(mask(msgspec.json.encode(content).decode()))
    return masked


def _opened(vault: Vault, sealed: str, purpose: str) -> str:
    text = opened(vault, sealed, purpose=purpose)
    return ERASED if text is None else text


def _fields(row: msgspec.Struct) -> dict[str, Any]:
    return msgspec.structs.asdict(row)


def _json(shape: BaseModel) -> bytes:
    return shape.model_dump_json(by_alias=True).encode()
