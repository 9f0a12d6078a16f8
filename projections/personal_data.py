"""What is known about one person, page by page, so that an export of any length needs no memory."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import LiteralString

import msgspec
from psycopg import sql

from domain.deployments.values import Status
from domain.identity.values import SignInMethod
from domain.teams.values import Role
from projections.audit import AuditRow
from projections.reading import Reader, RowType

PAGE = 500


class KnownSession(msgspec.Struct, frozen=True, kw_only=True):
    """A sign-in that is kept, ended or not."""

    id: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    method: SignInMethod
    ended: bool
    address: str | None
    user_agent: str | None


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """A team and what the person is in it."""

    id: str
    name: str
    personal: bool
    role: Role
    since: datetime


class MadeKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key the person made."""

    id: str
    team_id: str
    name: str
    description: str | None
    prefix: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class OwnDeployment(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment of the personal team."""

    id: str
    app_name: str
    image: str
    status: Status
    created_at: datetime


async def sessions_of(reader: Reader, user_id: str) -> AsyncIterator[Sequence[KnownSession]]:
    """Return the person's sign-ins."""
    query: LiteralString = "SELECT * FROM views.sessions WHERE user_id = %s"
    async for page in _pages(reader, KnownSession, query, user_id):
        yield page


async def memberships_of(reader: Reader, user_id: str) -> AsyncIterator[Sequence[Membership]]:
    """Return the person's teams."""
    query: LiteralString = (
        "SELECT t.id, t.name, t.personal, m.role, m.since FROM views.members AS m"
        " JOIN views.teams AS t ON t.id = m.team_id WHERE m.user_id = %s"
    )
    async for page in _pages(reader, Membership, query, user_id):
        yield page


async def keys_made_by(reader: Reader, user_id: str) -> AsyncIterator[Sequence[MadeKey]]:
    """Return the keys the person made, in whatever team."""
    query: LiteralString = "SELECT * FROM views.api_keys WHERE created_by = %s"
    async for page in _pages(reader, MadeKey, query, user_id):
        yield page


async def deployments_of(reader: Reader, team_id: str) -> AsyncIterator[Sequence[OwnDeployment]]:
    """Return what the personal team runs."""
    query: LiteralString = "SELECT * FROM views.deployments WHERE team_id = %s"
    async for page in _pages(reader, OwnDeployment, query, team_id):
        yield page


async def events_about(reader: Reader, user_id: str) -> AsyncIterator[Sequence[AuditRow]]:
    """Return what the person did, and what happened to them, in the order of the log."""
    after = 0
    while page := await reader.rows(
        AuditRow,
        "SELECT * FROM views.audit WHERE position > %s AND (actor = %s"
        " OR content ->> 'user_id' = %s OR stream_id IN (SELECT stream_id FROM views.audit"
        "  WHERE version = 1 AND content ->> 'user_id' = %s)) ORDER BY position LIMIT %s",
        after,
        user_id,
        user_id,
        user_id,
        PAGE,
    ):
        yield page
        after = page[-1].position


async def _pages(
    reader: Reader, kind: type[RowType], query: LiteralString, owner: str
) -> AsyncIterator[Sequence[RowType]]:
    """Return the rows of a query in the order of their ids."""
    after = ""
    page_query = sql.SQL("SELECT * FROM ({}) AS found WHERE id > %s ORDER BY id LIMIT %s").format(
        sql.SQL(query)
    )
    while page := await reader.rows(kind, page_query, owner, after, PAGE):
        yield page
        after = str(getattr(page[-1], "id"))  # noqa: B009 - every such row has one
