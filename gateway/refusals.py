"""What the gateway itself answers: which codes there are, and what their callers read."""

from collections.abc import Mapping

import msgspec

KEY_PREFIX = "tp_"


class Refusal(msgspec.Struct, frozen=True):
    """One way to be refused by the gateway itself."""

    status: int
    title: str
    detail: str
    headers: tuple[tuple[str, str], ...] = ()


_RETRY_IN_A_SECOND = (("Retry-After", "1"),)
REFUSALS: Mapping[str, Refusal] = {
    "https_required": Refusal(
        308,
        "Permanent Redirect",
        "This host is served over HTTPS. Use it from the first request on: a key that was sent"
        " without it could be read on the way.",
        (("Location", "https://%[var(txn.host)]@https_port@%[pathq]"),),
    ),
    "request_malformed": Refusal(400, "Bad Request", "The request breaks the rules of HTTP."),
    "path_ambiguous": Refusal(
        400,
        "Bad Request",
        "The path has encoded dots, slashes or backslashes, empty segments or dot segments.",
    ),
    "body_unexpected": Refusal(400, "Bad Request", "GET and HEAD take no body here."),
    "key_in_query": Refusal(
        400,
        "Bad Request",
        "Send the API key in X-API-Key or as a bearer token, never in the address."
        " An address is logged by others: treat this key as known and rotate it.",
    ),
    "key_invalid": Refusal(
        401,
        "Unauthorized",
        "Send one valid API key in X-API-Key or as a bearer token.",
        (("WWW-Authenticate", "Bearer"),),
    ),
    "scope_missing": Refusal(403, "Forbidden", "This API key may not call this app."),
    "address_not_allowed": Refusal(
        403, "Forbidden", "This API key may not be used from your address."
    ),
    "app_not_found": Refusal(404, "Not Found", "There is no such app."),
    "method_not_allowed": Refusal(
        405,
        "Method Not Allowed",
        "This method is not handed on.",
        (("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),),
    ),
    "limit_reached": Refusal(
        429,
        "Too Many Requests",
        "The limit of this window is used up.",
        (("Retry-After", "%[var(txn.reset),sub(txn.now)]"),),
    ),
    "no_healthy_replica": Refusal(
        503, "Service Unavailable", "No replica of this app is healthy.", _RETRY_IN_A_SECOND
    ),
    "maintenance": Refusal(
        503,
        "Service Unavailable",
        "This app is being looked after and answers again later.",
        (("Retry-After", "%[var(txn.closed_until),sub(txn.now)]"),),
    ),
    "metering_paused": Refusal(
        503,
        "Service Unavailable",
        "Requests cannot be recorded at the moment, so none are served.",
        (("Retry-After", "5"),),
    ),
}
"""The codes the gateway decides itself, in the words the caller reads."""

HAPROXY_ERRORS: Mapping[str, Refusal] = {
    "request_unreadable": Refusal(400, "Bad Request", "The request could not be read as HTTP."),
    "request_too_slow": Refusal(408, "Request Timeout", "The request did not arrive in time."),
    "gateway_error": Refusal(500, "Internal Server Error", "The gateway failed."),
    "replica_failed": Refusal(
        502, "Bad Gateway", "The answer of the replica broke off or is no HTTP."
    ),
    "replica_unreachable": Refusal(
        503, "Service Unavailable", "No replica could be reached.", _RETRY_IN_A_SECOND
    ),
    "replica_too_slow": Refusal(504, "Gateway Timeout", "The replica did not answer in time."),
}
"""The codes behind HAProxy's own errors. What cannot even be read as the head of a request gets
HAProxy's fixed 400 or 408 page instead: no rule runs and no text can be set for that."""


def problems() -> dict[str, tuple[int, str]]:
    """Return status and meaning of every code that the gateway answers with."""
    known = {**REFUSALS, **HAPROXY_ERRORS}
    return {code: (refusal.status, refusal.detail) for code, refusal in known.items()}


DOUBTFUL: Mapping[str, str] = {
    "maintenance": "{ var(txn.closed_until) -m found } { var(txn.deployment) -m found }",
    "metering_paused": "{ str(metering),map_str(current/flags.map) -m str paused }",
    "key_in_query": (
        "{ query -m found }"
        f" {{ query -m reg -i '(^|[&;])((x-)?api[-_]?key=|[^&;=]*={KEY_PREFIX})' }}"
    ),
    # Hygiene: what different readers would read differently is not handed on.
    "path_ambiguous": (
        r"{ path -m sub % // \\ /. }"
        r" { path -m reg -i '%2e|%2f|%5c|%00|//|\\|/[.][.]?(/|;|$)' }"
    ),
    "request_malformed": (
        "!{ req.hdr(host) -m found } or { req.fhdr_cnt(authorization) gt 1 }"
        " or { req.ver 1.0 } { req.fhdr_cnt(transfer-encoding) gt 0 }"
    ),
    "body_unexpected": (
        "{ method GET HEAD } { req.fhdr_cnt(transfer-encoding) gt 0 }"
        " or { method GET HEAD } { req.hdr_val(content-length) gt 0 }"
    ),
    "method_not_allowed": "!{ method GET HEAD POST PUT PATCH DELETE OPTIONS }",
}
"""What keeps a request from being handed on whatever it is for, from the weakest to the strongest.
The frontend asks it of each request, and the backend of the refusals asks again to name it."""
