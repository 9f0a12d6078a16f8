"""Who is asking: an access token or an API key, checked against what the views know now.

What was found is remembered for at most a second, so a sign-out or a revocation acts within one.
Who names a position, or finds nothing, is looked up anew: they may be in a team since a moment.
"""

import hashlib
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_network
from typing import Generic, TypeVar

from starlette.datastructures import Headers

from api.errors import AddressNotAllowed, InvalidCredentials
from api.key_uses import KeyUses
from api.services import Services
from commands.work import Actor
from domain.api_keys.values import Network, hash_of, is_within, looks_like_key
from domain.kernel.permissions import within
from domain.teams.values import SCOPES_OF
from infrastructure.tokens import AccessToken, InvalidToken
from projections.api_keys import key_by_hash
from projections.identity import SignedIn, session_by_id
from projections.reading import Sharing

REMEMBERED_SECONDS = 1.0
REMEMBERED_MAX = 10_000
AGAIN_SECONDS = 0.2
"""How often, at most, a session is looked up before that because something was not found."""
TOKEN_REMEMBERED_SECONDS = 60.0
"""A signature does not change; whether the session lasts and the token has ended is looked at."""

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Somebody who proved who they are."""

    actor: Actor
    session_id: str | None = None

    @property
    def name(self) -> str:
        """By which requests are counted."""
        name = f"{'user' if self.actor.user_id else 'key'}:{self.actor.id}"
        return f"{name}:as:{self.actor.user_id}" if self.actor.impersonates else name


@dataclass(frozen=True, kw_only=True)
class KnownKey:
    """A secret that somebody showed: whose key it is, how long it works and from where."""

    caller: Caller
    ends_at: datetime | None
    networks: tuple[Network, ...]


@dataclass(frozen=True, kw_only=True)
class KnownSession:
    """A session as it was looked up."""

    session: SignedIn
    position: int
    """What had happened up to here, its person's memberships had heard of."""


class Doorkeeper:
    """Tells callers from strangers. One per process."""

    def __init__(self, services: Services, *, again_seconds: float = AGAIN_SECONDS) -> None:
        self._services = services
        self.key_uses = KeyUses(services.bus, services.clock)
        self._sessions: Remembered[KnownSession] = Remembered()
        self._asked_again: Remembered[bool] = Remembered(again_seconds)
        self._keys: Remembered[KnownKey] = Remembered()
        self._tokens: Remembered[AccessToken] = Remembered(TOKEN_REMEMBERED_SECONDS)
        self._asked_sessions: Sharing[KnownSession] = Sharing()
        self._asked_keys: Sharing[KnownKey] = Sharing()

    async def caller_of(self, headers: Headers, address: str) -> Caller | None:
        """Return who sent these headers from this address, None for nobody.

        Raises `InvalidCredentials`, or `AddressNotAllowed` for a key that may not be used there.
        """
        credential = credential_in(headers)
        if credential is None:
            return None
        if looks_like_key(credential):
            return await self._by_key(credential, address)
        return await self._by_token(credential)

    async def caller_of_session(self, session_id: str) -> Caller:
        """Return whose session it is; raises `InvalidCredentials` when it has ended."""
        known = self._sessions.get(session_id)
        if known is None:
            known = await self._asked_sessions.ask(session_id, lambda: self._session(session_id))
        return self._caller(known.session)

    async def caller_at(self, caller: Caller, position: int) -> Caller:
        """Return the caller with whatever they were let into up to this position.

        The view of members must have reached it. What is remembered may be from before.
        """
        if caller.session_id is None:
            return caller
        known = self._sessions.get(caller.session_id)
        if known is None or known.position < position:
            known = await self._session(caller.session_id)
        return self._caller(known.session)

    async def look_again(self, caller: Caller) -> Caller:
        """Return the caller as the views know them now, for somebody who found nothing.

        In another process they may have been let into a team within the last second. Only now
        and then for each session, so that asking for what is not there stays cheap for us.
        """
        session_id = caller.session_id
        if session_id is None or self._asked_again.get(session_id):
            return caller
        self._asked_again.put(session_id, value=True)
        return self._caller((await self._session(session_id)).session)

    def _caller(self, session: SignedIn) -> Caller:
        if session.ended or session.expires_at <= self._services.clock():
            raise InvalidCredentials
        return Caller(
            actor=Actor(
                id=session.impersonated_by or session.user_id,
                user_id=session.user_id,
                session_id=session.session_id,
                grants={team_id: SCOPES_OF[role] for team_id, role in session.roles.items()},
                home_team_id=session.team_id,
                platform_admin=session.platform_admin and session.impersonated_by is None,
            ),
            session_id=session.session_id,
        )

    def forget_session(self, session_id: str) -> None:
        """Look again at the next request."""
        self._sessions.drop(session_id)

    def forget_person(self, user_id: str) -> None:
        """Look again, for all of somebody's sessions, at the next request."""
        self._sessions.drop_where(lambda known: known.session.user_id == user_id)

    async def _by_key(self, key: str, address: str) -> Caller:
        secret_hash = hash_of(key)
        known = self._keys.get(secret_hash)
        if known is None:
            known = await self._asked_keys.ask(secret_hash, lambda: self._key(secret_hash))
        if known.ends_at is not None and known.ends_at <= self._services.clock():
            raise InvalidCredentials
        if known.networks and not is_within(address, known.networks):
            raise AddressNotAllowed
        self.key_uses.saw(known.caller.actor.id)
        return known.caller

    async def _key(self, secret_hash: str) -> KnownKey:
        row = await key_by_hash(self._services.views, secret_hash)
        if row is None:
            await self.catch_up("api_keys")
            row = await key_by_hash(self._services.views, secret_hash)
        if row is None or row.revoked_at is not None:
            raise InvalidCredentials
        if (row.forsaken or row.suspended) and not all(
            scope.startswith("call:") for scope in row.scopes
        ):
            raise InvalidCredentials  # its maker is shut out, or left: then it is revoked
        held = SCOPES_OF[row.maker_role] if row.maker_role is not None else row.scopes
        known = KnownKey(
            caller=Caller(
                actor=Actor(
                    id=row.id,
                    grants={row.team_id: within(row.scopes, held)},
                    home_team_id=row.team_id,
                )
            ),
            ends_at=row.expires_at if secret_hash == row.secret_hash else row.retiring_until,
            networks=tuple(ip_network(each) for each in row.allowed_cidrs),
        )
        self._keys.put(secret_hash, known)
        return known

    async def _by_token(self, text: str) -> Caller:
        token = self._token(text)
        caller = await self.caller_of_session(token.session_id)
        if caller.actor.user_id != token.user_id:
            raise InvalidCredentials
        return caller

    def _token(self, text: str) -> AccessToken:
        now = self._services.clock()
        digest = hashlib.sha256(text.encode()).digest()
        token = self._tokens.get(digest)
        if token is None:
            try:
                token = self._services.tokens.read(text, now=now)
            except InvalidToken as error:
                raise InvalidCredentials from error
            self._tokens.put(digest, token)
        if token.expires_at <= now:
            raise InvalidCredentials
        return token

    async def _session(self, session_id: str) -> KnownSession:
        views = self._services.views
        position = views.reached("members")
        session = await session_by_id(views, session_id)
        if session is None or session.team_id not in session.roles:
            await self.catch_up("users", "sessions", "members")
            session = await session_by_id(views, session_id)
        if session is None:
            raise InvalidCredentials
        known = KnownSession(session=session, position=position)
        self._sessions.put(session_id, known)
        return known

    async def catch_up(self, *views: str) -> None:
        """Return once the views know what the log knows now.

        Who comes with credentials made a moment ago must not be refused because a view is late.
        """
        position = await self._services.log.last_position()
        for view in views:
            await self._services.views.wait_for(
                view, position, timeout_seconds=self._services.options.wait_seconds_max
            )


class Remembered(Generic[Value]):
    """What was looked up less than a second ago, or some other while."""

    def __init__(self, seconds: float = REMEMBERED_SECONDS) -> None:
        self._seconds = seconds
        self._values: OrderedDict[Hashable, tuple[float, Value]] = OrderedDict()

    def get(self, key: Hashable) -> Value | None:
        """Return the value if it is fresh."""
        found = self._values.get(key)
        if found is None or found[0] < time.monotonic():
            return None
        return found[1]

    def put(self, key: Hashable, value: Value) -> None:
        """Remember the value; the oldest goes when there are too many."""
        self._values[key] = (time.monotonic() + self._seconds, value)
        self._values.move_to_end(key)
        if len(self._values) > REMEMBERED_MAX:
            self._values.popitem(last=False)

    def drop(self, key: Hashable) -> None:
        """Forget the value."""
        self._values.pop(key, None)

    def drop_where(self, wanted: Callable[[Value], bool]) -> None:
        """Forget the values of which this is true."""
        for key in [key for key, (_, value) in self._values.items() if wanted(value)]:
            self.drop(key)


def credential_in(headers: Headers) -> str | None:
    """Return the one credential in the headers; raises `InvalidCredentials` for two."""
    authorizations = headers.getlist("authorization")
    found = list(headers.getlist("x-api-key"))
    for value in authorizations:
        scheme, _, credential = value.partition(" ")
        if scheme.lower() != "bearer":
            raise InvalidCredentials
        found.append(credential)
    if not found:
        return None
    if len(authorizations) > 1 or len(set(found)) > 1 or not found[0]:
        raise InvalidCredentials
    return found[0]


def network_of(address: str) -> str:
    """Return what counts as one stranger: an IPv4 address, or an IPv6 network of 64 bits."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
    return str(parsed)
