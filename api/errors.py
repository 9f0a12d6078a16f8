"""The one place where an error becomes an answer: problem+json (RFC 9457) with a stable code.

A refusal that only the API knows is an `ApiError` with its status. A refusal of the domain has a
status by its kind, or by its code where the kind does not say enough. Whatever nobody expected is
a 500 that says nothing but the request's id.
"""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar

import msgspec
import psycopg
import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from commands.bus import Busy, PreconditionFailed
from commands.identity import WrongCredentials
from domain.kernel.errors import (
    AlreadyTaken,
    DomainError,
    LimitReached,
    NotAllowed,
    NotFound,
    RuleViolated,
)
from infrastructure.clickhouse import ClickHouseAway
from infrastructure.event_store import Conflict, Repeated, StoreUnavailable
from infrastructure.report_signatures import SignersAway, WrongSignature
from infrastructure.sealing import KeyDestroyed
from infrastructure.tokens import InvalidToken
from projections.reading import ViewBehind

MEDIA_TYPE = "application/problem+json"

log = structlog.get_logger()


class ApiError(DomainError):
    """The request cannot be answered."""

    status: ClassVar[int] = 400

    def __init__(
        self,
        message: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        **details: object,
    ) -> None:
        super().__init__(message, **{**details, **(fields or {})})
        self.headers = dict(headers or {})


class Malformed(ApiError):
    """The request is not well formed."""


class Unauthenticated(ApiError):
    """Sign in, or send an API key."""

    status = 401


class InvalidCredentials(ApiError):
    """The access token or API key is not valid."""

    status = 401


class AddressNotAllowed(ApiError):
    """This API key may not be used from your address."""

    status = 403


class BodyTooLarge(ApiError):
    """The body is larger than this API takes."""

    status = 413


class UnsupportedMediaType(ApiError):
    """Send the body as application/json, not compressed."""

    status = 415


class InvalidValue(ApiError):
    """A value cannot be accepted."""

    status = 422


class IdempotencyKeyReused(ApiError):
    """This idempotency key was used for another request."""

    status = 422


class StillRunning(ApiError):
    """The request with this idempotency key is still being carried out; ask again in a moment."""

    status = 409


class CrossSiteRequest(ApiError):
    """A page of another site may not do this; its origin has to be allowed first."""

    status = 403


class TooManyRequests(ApiError):
    """You have asked too often; wait a little."""

    status = 429


class TooManyIdempotencyKeys(TooManyRequests):
    """So many idempotency keys are not remembered for one caller in a day."""


STATUS_BY_CODE = {
    "only_owner": 409,  # what has to be done first is in the details
    "busy": 503,  # too many sign-ins at once: it is us, not the caller
    "session_over": 401,
    "key_revoked": 409,
    "key_expired": 409,
    "team_not_empty": 409,
    "invitation_over": 410,
    "authorization_pending": 400,  # these five as RFC 8628 and RFC 6749 have them
    "slow_down": 400,
    "access_denied": 400,
    "expired_token": 400,
    "invalid_grant": 400,
    "otp_required": 401,
    "otp_wrong": 401,
    "passkey_refused": 401,
    "step_up_required": 401,
    "link_not_valid": 410,
    "archive_too_large": 413,
    "upload_too_large": 413,
    "too_many_sources": 422,  # room, not a rate
    "too_many_domains": 422,  # the same
    "quota_exceeded": 422,  # the same
}
STATUS_BY_KIND: tuple[tuple[type[Exception], int], ...] = (
    (WrongCredentials, 401),
    (InvalidToken, 401),
    (WrongSignature, 403),
    (SignersAway, 503),
    (Busy, 503),
    (PreconditionFailed, 412),
    (ViewBehind, 503),
    (StoreUnavailable, 503),
    (Conflict, 503),
    (Repeated, 409),  # carried out, but so long ago that its answer is forgotten
    (KeyDestroyed, 410),
    (NotFound, 404),
    (NotAllowed, 403),
    (AlreadyTaken, 409),
    (LimitReached, 429),
    (RuleViolated, 422),
)
AWAY: tuple[type[Exception], ...] = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.UndefinedTable,  # the views are not there yet
    psycopg.errors.InvalidSchemaName,
    ClickHouseAway,
    ConnectionError,
)
CODES = {
    400: "malformed",
    401: "unauthenticated",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "body_too_large",
    415: "unsupported_media_type",
}
_WITHOUT_A_CLASS: Mapping[str, tuple[int, str]] = {
    "invalid_request": (422, "One or more values cannot be accepted; `details` says which."),
    "method_not_allowed": (405, "This resource does not know this method; see `Allow`."),
    "not_acceptable": (406, "There is no form of this that your `Accept` header allows."),
    "part_unavailable": (503, "A part that this needs is away; try again in a moment."),
    "internal_error": (500, "Something went wrong on our side; tell us the request's id."),
}
RETRY_AFTER_SECONDS = 1
SERVER_ERROR = 500
UNAVAILABLE = 503
UNAUTHORIZED = 401
CHALLENGE = 'Bearer realm="tallyport"'
LIMITED = 429


class Detail(msgspec.Struct, frozen=True):
    """One thing that is wrong, or one thing worth knowing."""

    field: str
    message: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error, ready to be answered."""

    status: int
    code: str
    message: str
    details: Sequence[Detail] = ()
    headers: Mapping[str, str] = {}


def problem_of(error: Exception) -> Problem:
    """Return what to answer for an error."""
    match error:
        case ApiError():
            return _domain_problem(error, error.status, error.headers)
        case DomainError():
            return _domain_problem(error, _status_of(error), {})
        case RequestValidationError():
            return _validation_problem(error.errors())
        case HTTPException():
            return _http_problem(error)
        case _ if isinstance(error, AWAY):
            return _unavailable("A part this needs is away; try again in a moment.")
    return Problem(
        status=SERVER_ERROR, code="internal_error", message="Something went wrong on our side."
    )


def problem_response(error: Exception, *, request_id: str) -> Response:
    """Return the answer for an error; log it when it is ours."""
    problem = problem_of(error)
    if problem.status == SERVER_ERROR:
        log.error("request failed", exc_info=error)
    elif problem.status == UNAVAILABLE:
        log.warning("request not answered", code=problem.code, error=str(error)[:500])
    return Response(
        problem_body(problem, request_id=request_id),
        problem.status,
        headers=dict(problem.headers),
        media_type=MEDIA_TYPE,
    )


def problem_body(problem: Problem, *, request_id: str) -> bytes:
    """Return the document."""
    return msgspec.json.encode(
        {
            "type": f"/problems/{problem.code}",
            "title": HTTPStatus(problem.status).phrase,
            "status": problem.status,
            "detail": problem.message,
            "requestId": request_id,
            "error": {
                "code": problem.code,
                "message": problem.message,
                "details": problem.details,
            },
        }
    )


def known_problems() -> dict[str, tuple[int, str]]:
    """Return status and meaning of every code that this API can answer with."""
    statuses = {code: status for code, (status, _) in _WITHOUT_A_CLASS.items()}
    meanings = {code: {meaning} for code, (_, meaning) in _WITHOUT_A_CLASS.items()}
    kinds = list(DomainError.__subclasses__())
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        problem = problem_of(kind())
        if kind is not ApiError and problem.status != SERVER_ERROR:
            statuses[problem.code] = problem.status
            meanings.setdefault(problem.code, set()).add(problem.message)
    return {code: (statuses[code], " ".join(sorted(texts))) for code, texts in meanings.items()}


def _status_of(error: DomainError) -> int:
    by_code = STATUS_BY_CODE.get(error.code)
    if by_code is not None:
        return by_code
    for kind, status in STATUS_BY_KIND:
        if isinstance(error, kind):
            return status
    return SERVER_ERROR


def _domain_problem(error: DomainError, status: int, headers: Mapping[str, str]) -> Problem:
    if status == SERVER_ERROR:
        return Problem(
            status=status, code="internal_error", message="Something went wrong on our side."
        )
    # Whatever kind of NotFound it is: a missing thing and another team's thing look the same.
    code, message = error.code, error.message
    if isinstance(error, NotFound):
        code, message = "not_found", " ".join((NotFound.__doc__ or "").split())
    extra = dict(headers)
    if status in {UNAVAILABLE, LIMITED}:
        seconds = error.details.get("retry_after_seconds", RETRY_AFTER_SECONDS)
        extra.setdefault("Retry-After", str(seconds))
    if status == UNAUTHORIZED:
        extra["WWW-Authenticate"] = CHALLENGE
    details = [Detail(name, _shown(value)) for name, value in error.details.items()]
    return Problem(status=status, code=code, message=message, details=details, headers=extra)


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(each) for each in value)
    return str(value)


def _validation_problem(errors: Sequence[Any]) -> Problem:
    if any(error["type"] == "json_invalid" for error in errors):
        return Problem(status=400, code="malformed", message="The body is not JSON.")
    details = [
        Detail(
            ".".join(str(part) for part in error["loc"][1:]) or str(error["loc"][0]),
            re.sub(r"^(Value|Assertion) error, ", "", str(error["msg"])),
        )
        for error in errors[:100]
    ]
    fields = ", ".join(sorted({detail.field for detail in details})[:5])
    return Problem(
        status=422,
        code="invalid_request",
        message=f"Some values cannot be accepted: {fields}.",
        details=details,
    )


def _http_problem(error: HTTPException) -> Problem:
    status = error.status_code
    message = {
        404: " ".join((NotFound.__doc__ or "").split()),
        405: "This resource does not know this method.",
    }.get(status, str(error.detail))
    return Problem(
        status=status,
        code=CODES.get(status, f"http_{status}"),
        message=message,
        headers=dict(error.headers or {}),
    )


def _unavailable(message: str) -> Problem:
    return Problem(
        status=UNAVAILABLE,
        code="part_unavailable",
        message=message,
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )
