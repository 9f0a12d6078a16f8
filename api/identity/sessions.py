"""Signing in, staying signed in, signing out."""

import contextlib
from collections.abc import Callable
from datetime import datetime
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from api.answers import Answer, answer
from api.errors import Detail, InvalidValue, Problem, problem_body
from api.guard import FORM, OPEN_TO_ALL, GuardedRoute
from api.identity.browsers import forget, keep, kept_token
from api.identity.guesses import guessing, network
from api.openapi import refusals, token_form
from api.requests import Write, Writing
from api.schemas import Input, Message, Output
from commands.identity import (
    EndSession,
    RefreshSession,
    SignedIn,
    SignIn,
)
from domain.identity.values import email_identity
from domain.kernel.errors import NotFound
from projections.reading import ViewBehind

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["Identity"])
token_router = APIRouter(route_class=GuardedRoute, tags=["Identity"])

FORM_FIELDS = {
    "grant_type",
    "username",
    "password",
    "otp",
    "scope",
    "client_id",
    "client_secret",
}


class Credentials(Input):
    """How one signs in."""

    email: Annotated[str, Field(min_length=1, max_length=254)]
    password: Annotated[str, Field(min_length=1, max_length=256)]
    otp: Annotated[str | None, Field(min_length=1, max_length=64)] = None
    """A code of the second factor, or a recovery code, of who has one."""


class Refreshing(Input):
    """The refresh token of the last answer; without one, the cookie that has it."""

    refresh_token: Annotated[str | None, Field(min_length=1, max_length=200)] = None


class Person(Output):
    """Who signed in."""

    id: str
    username: str
    email: str


class Session(Output):
    """A sign-in."""

    access_token: str
    refresh_token: str | None
    """None where a cookie has it, which is what `X-Tallyport-Session: cookie` asks for."""
    token_type: str = "Bearer"  # noqa: S105 - the word, not a token
    expires_at: datetime
    user: Person


class OAuthToken(Output):
    """A sign-in as OAuth 2 says it (RFC 6749)."""

    access_token: Annotated[str, Field(alias="access_token")]
    token_type: Annotated[str, Field(alias="token_type")]
    expires_in: Annotated[int, Field(alias="expires_in")]
    refresh_token: Annotated[str, Field(alias="refresh_token")]


@router.post(
    "/auth/login",
    response_model=Session,
    responses=refusals(401),
    openapi_extra=OPEN_TO_ALL,
)
async def login(body: Credentials, write: Writing) -> Response:
    """Sign in. An unknown address and a wrong password are answered alike.

    Who has a second factor and sends no code with the right password is answered `otp_required`.
    """
    return await _sign_in(
        write, body.email, body.password, body.otp, lambda session: session_of(write, session)
    )


@router.post(
    "/auth/refresh",
    response_model=Session,
    responses=refusals(401),
    openapi_extra=OPEN_TO_ALL,
)
async def refresh(body: Refreshing, write: Writing) -> Response:
    """Exchange a refresh token. One that was used before ends the whole session."""
    return await write.dispatch(
        RefreshSession(refresh_token=body.refresh_token or kept_token(write)),
        lambda session: session_of(write, session),
    )


@router.post("/auth/logout", response_model=Message, responses=refusals(401, 403))
async def logout(write: Writing) -> Response:
    """Sign out. The session's tokens are refused from now on."""
    write.must_be_a_person()
    session_id = write.caller.session_id or ""
    done = await write.run(
        EndSession(session_id=session_id), lambda _: answer(Message(message="Signed out"))
    )
    return await ended(write, done, session_id)


async def ended(write: Write, done: Answer, session_id: str) -> Response:
    """Answer once this process refuses the session; every other one does within a second."""
    position = int(done.headers["X-Tallyport-Position"])
    with contextlib.suppress(ViewBehind):  # it has happened, also when the view is late
        await write.views.wait_for(
            "sessions", position, timeout_seconds=write.options.wait_seconds_max
        )
    write.doorkeeper.forget_session(session_id)
    own = session_id == write.caller.session_id
    return (forget(write, done) if own else done).response()


@token_router.post(
    "/token",
    response_model=OAuthToken,
    responses=refusals(401, 404),
    openapi_extra={**FORM, "requestBody": token_form()},
)
async def token(write: Writing) -> Response:
    """Sign in with OAuth 2's password form, unless the operator shut it."""
    if not write.options.oauth_form:
        raise NotFound
    form = await _form(write)
    email, password = form.get("username", ""), form.get("password", "")
    if form.get("grant_type", "password") != "password" or not email or not password:
        raise InvalidValue(
            "Send grant_type=password, username and password.", grant_type="is not password"
        )
    if len(email) > 254 or len(password) > 256 or len(form.get("otp", "")) > 64:  # noqa: PLR2004 - as for login
        raise InvalidValue("A value is too long.", username="at most 254 characters")

    def signed_in(session: SignedIn) -> Answer:
        access_token, _ = _issue(write, session)
        return answer(
            OAuthToken(
                access_token=access_token,
                token_type="bearer",  # noqa: S106 - the word, not a token
                expires_in=write.options.access_token_seconds,
                refresh_token=session.refresh_token,
            )
        )

    return await _sign_in(write, email, password, form.get("otp"), signed_in)


async def _sign_in(
    write: Write,
    email: str,
    password: str,
    otp: str | None,
    signed_in: Callable[[SignedIn], Answer],
) -> Response:
    options = write.options
    async with guessing(write, email_identity(email)) as strangers_wait_seconds:
        command = SignIn(
            email=email,
            password=password,
            otp=otp,
            lifetime=options.session_lifetime,
            idle_lifetime=options.session_idle_lifetime,
            network=network(write),
            user_agent=user_agent(write),
            strangers_wait_seconds=strangers_wait_seconds,
        )
        return await write.dispatch(command, signed_in)


def user_agent(write: Write) -> str | None:
    """Return what the program calls itself, as far as it is fit to be shown."""
    sent = write.request.headers.get("user-agent", "")
    return "".join(c for c in sent if c.isascii() and c.isprintable())[:120] or None


async def _form(write: Write) -> dict[str, str]:
    try:
        text = (await write.request.body()).decode()
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=20, errors="strict")
    except ValueError:
        raise InvalidValue("This is not a form.") from None
    names = [name for name, _ in pairs]
    unknown = sorted(set(names) - FORM_FIELDS)
    if unknown or len(set(names)) != len(names) or "\0" in text or "%00" in text:
        raise InvalidValue("The form has a field it should not have.", form=unknown)
    return dict(pairs)


def _issue(write: Write, session: SignedIn) -> tuple[str, datetime]:
    return write.services.tokens.issue(
        user_id=session.user_id, session_id=session.session_id, now=write.services.clock()
    )


def session_of(write: Write, session: SignedIn) -> Answer:
    """Return the answer to whoever has signed in."""
    if not session.refresh_token:
        return _stolen(write)
    access_token, expires_at = _issue(write, session)
    cookie = keep(write, session.refresh_token)
    return answer(
        Session(
            access_token=access_token,
            refresh_token=None if cookie else session.refresh_token,
            expires_at=expires_at,
            user=Person(id=session.user_id, username=session.username, email=session.email),
        ),
        headers=cookie,
    )


def _stolen(write: Write) -> Answer:
    """Answer a refresh token that was used twice: its session has just been ended."""
    problem = Problem(
        status=401,
        code="session_over",
        message="This session has ended; sign in again.",
        details=[Detail("refreshToken", "was used before")],
    )
    return Answer(401, problem_body(problem, request_id=write.request_id))
