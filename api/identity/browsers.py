"""Sessions of web pages: the refresh token in a cookie that no script can read.

A page asks for it by the header `X-Tallyport-Session: cookie`, at sign-in and whenever it wants
another access token. The cookie counts for nothing without that header. Another site cannot send
it, nor can a deployed app under a neighbouring name, to which SameSite is no barrier: a browser
asks first whether a page may send such a header, and no origin is ever told that it may.
"""

from http.cookies import CookieError, Morsel, SimpleCookie

from api.answers import Answer
from api.errors import InvalidValue, Unauthenticated
from api.requests import Write

HEADER, WANTED = "X-Tallyport-Session", "cookie"
NAME = "tallyport-session"
TOKEN_LENGTH_MAX = 200


def asked(write: Write) -> bool:
    """Return whether a page of ours asks."""
    return write.request.headers.get(HEADER) == WANTED


def keep(write: Write, refresh_token: str) -> dict[str, str]:
    """Return the header that lets the browser keep the token; none for who did not ask."""
    if not asked(write):
        return {}
    seconds = int(write.options.session_idle_lifetime.total_seconds())
    return {"Set-Cookie": _cookie(write, refresh_token, seconds)}


def kept_token(write: Write) -> str:
    """Return the token that the browser kept; raises `InvalidValue`, `Unauthenticated`."""
    if not asked(write):
        raise InvalidValue("Send the refresh token.", fields={"refreshToken": "is missing"})
    found: Morsel[str] | None
    try:
        found = SimpleCookie(write.request.headers.get("cookie", "")).get(_name(write))
    except CookieError:
        found = None
    if found is None or not 0 < len(found.value) <= TOKEN_LENGTH_MAX:
        raise Unauthenticated
    return found.value


def forget(write: Write, answer: Answer) -> Answer:
    """Return the answer so that it also takes the cookie away."""
    if _name(write) not in write.request.headers.get("cookie", ""):
        return answer
    return answer.with_headers(Set_Cookie=_cookie(write, "", 0))


def _name(write: Write) -> str:
    """Browsers hold what begins with `__Host-` to this host and to TLS."""
    return f"__Host-{NAME}" if write.options.https_only else NAME


def _cookie(write: Write, value: str, seconds: int) -> str:
    secure = "; Secure" if write.options.https_only else ""
    return f"{_name(write)}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
