"""Why a command ends without having done what it was asked to, and with which exit code."""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """What a script can tell apart."""

    FAILED = 1
    """It was tried and did not succeed, or something unexpected happened."""
    USAGE = 2
    """The command line itself is wrong."""
    NOT_SIGNED_IN = 3
    """Nobody is signed in, or the key is not valid."""
    NOT_FOUND = 4
    """There is no such thing among what you may see."""
    REFUSED = 5
    """You may not do this, or a value cannot be accepted."""
    CONFLICT = 6
    """It contradicts what is there: a name that is taken, a change meanwhile."""
    UNAVAILABLE = 7
    """You asked too often, or Tallyport cannot be reached: try again later."""
    INTERRUPTED = 130
    """Ctrl-C."""


BY_STATUS: Mapping[int, ExitCode] = {
    400: ExitCode.REFUSED,
    401: ExitCode.NOT_SIGNED_IN,
    403: ExitCode.REFUSED,
    404: ExitCode.NOT_FOUND,
    409: ExitCode.CONFLICT,
    410: ExitCode.NOT_FOUND,
    412: ExitCode.CONFLICT,
    413: ExitCode.REFUSED,
    415: ExitCode.REFUSED,
    422: ExitCode.REFUSED,
    429: ExitCode.UNAVAILABLE,
    502: ExitCode.UNAVAILABLE,
    503: ExitCode.UNAVAILABLE,
    504: ExitCode.UNAVAILABLE,
}

WHAT_TO_DO: Mapping[str, str] = {
    "unauthenticated": "Sign in with `tallyport login`, or set TALLYPORT_API_KEY.",
    "invalid_credentials": "Sign in again with `tallyport login`, or check TALLYPORT_API_KEY.",
    "session_over": "Sign in again with `tallyport login`.",
    "scope_missing": "Ask an owner or an admin of the team for the scope, or use another key.",
    "app_name_taken": "Take another name with --name: names are unique on the whole installation.",
    "not_startable": "Say with --runtime what runs it: python, node or go. Or add a Procfile.",
    "second_factor_required": "Sign in again with a code: `tallyport login`.",
    "unknown_image": "See `tallyport images`, or name an image with its registry.",
}
"""By the API's code, where the command line has something to say that the message has not."""


class Failed(Exception):
    """The command ends here. The first line says what is wrong, the others help."""

    def __init__(self, message: str, *more: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.more: Sequence[str] = more
        self.code = code


class Refused(Failed):
    """The API answered with a problem (RFC 9457)."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        error = problem.get("error") or {}
        self.status = status
        self.error_code = str(error.get("code", ""))
        self.details: Sequence[Mapping[str, str]] = error.get("details") or ()
        title = str(problem.get("title") or f"HTTP {status}")
        detail = str(problem.get("detail") or "The answer is not one of Tallyport's.")
        lines = [f"  {each.get('field')}: {each.get('message')}" for each in self.details]
        if advice := WHAT_TO_DO.get(self.error_code):
            lines.append(advice)
        if self.error_code:
            lines.append(f"Code: {self.error_code}  Request: {problem.get('requestId', '')}")
        super().__init__(f"{title}: {detail}", *lines, code=BY_STATUS.get(status, ExitCode.FAILED))


def not_signed_in() -> Failed:
    """Return the refusal of a command that needs somebody."""
    return Failed(
        "You are not signed in.",
        "Sign in with `tallyport login`, or set TALLYPORT_API_KEY.",
        code=ExitCode.NOT_SIGNED_IN,
    )
