"""Around every request: its id, who asks, how often, how much, and the headers of every answer.

Plain ASGI, outside of everything else, so that an answer gets its headers whatever made it: a
route, a refusal, an unknown path, an error that nobody expected.
"""

import re
import secrets
import time

import structlog
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.callers import Caller, Doorkeeper, network_of
from api.errors import BodyTooLarge, Malformed, problem_response
from api.kept_answers import KeptAnswers
from api.origins import PREFLIGHT, Origins
from api.rates import Rates
from api.services import Services
from domain.kernel.errors import DomainError
from domain.portals.values import DOCUMENT_BYTES_MAX

REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
CREDENTIAL_IN_QUERY = re.compile(
    r"(?:^|&)(?:api[-_]?key|x[-_]api[-_]key|apikey|access[-_]token|token|key)=", re.IGNORECASE
)
SECURITY_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"vary", b"Authorization, X-API-Key, Origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
OVERRIDABLE = {b"cache-control", b"content-security-policy", b"vary"}
"""What an answer may say differently: the pages and their files do."""
TLS_ONLY = (b"strict-transport-security", b"max-age=63072000; includeSubDomains")

UPLOAD = ("POST", "/v1/sources")
"""The one route that takes a large body. It writes it to the disk as it comes."""
DOCUMENT = re.compile(r"/v1/deployments/[^/]+/openapi")
"""The one that takes a document, which may be longer than what other routes are sent."""

REQUESTS = Counter(
    "tallyport_api_requests_total", "Requests answered", ["method", "route", "status"]
)
SECONDS = Histogram("tallyport_api_request_seconds", "Time until the answer", ["route"])

log = structlog.get_logger()


class Envelope:
    """The outermost layer."""

    def __init__(
        self,
        app: ASGIApp,
        services: Services,
        doorkeeper: Doorkeeper,
        kept_answers: KeptAnswers,
    ) -> None:
        self._app = app
        self._doorkeeper = doorkeeper
        self._kept_answers = kept_answers
        self._rates = Rates(services.counters, services.options)
        self._body_limit_bytes = services.options.body_limit_bytes
        self._upload_limit_bytes = services.options.upload_limit_bytes
        self._origins = Origins(services.options.cors_origins)
        self._fixed_headers = SECURITY_HEADERS + ([TLS_ONLY] if services.options.https_only else [])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = _request_id(headers.get("x-request-id"))
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        state["address"] = (scope.get("client") or ("unknown", 0))[0]
        extra = [(b"x-request-id", request_id.encode()), *self._fixed_headers]
        extra += self._origins.headers(headers)
        outgoing = Outgoing(send, extra, without_body=scope["method"] == "HEAD")
        method, began = scope["method"], time.perf_counter()
        with structlog.contextvars.bound_contextvars(correlation_id=request_id):
            try:
                await self._answer(scope, headers, receive, outgoing)
            except ClientDisconnect:
                outgoing.status = 499
            except Exception as error:
                if outgoing.status:
                    raise  # half an answer is out: let the server cut the connection
                response = problem_response(error, request_id=request_id)
                await response(scope, receive, outgoing)
        route = getattr(scope.get("route"), "path_format", "unknown")
        REQUESTS.labels(method, route, outgoing.status).inc()
        SECONDS.labels(route).observe(time.perf_counter() - began)

    async def _answer(
        self, scope: Scope, headers: Headers, receive: Receive, outgoing: "Outgoing"
    ) -> None:
        state, method = scope["state"], scope["method"]
        caller = await self._caller(headers, scope)
        who = caller.name if caller is not None else f"address:{network_of(state['address'])}"
        counted = await self._rates.count(method, scope["path"], who)
        outgoing.extra += counted.headers()
        if method == "OPTIONS" and PREFLIGHT in headers:
            await Response(status_code=204)(scope, receive, outgoing)
            return
        counted.must_be_within()
        self._origins.check(method, headers)
        if CREDENTIAL_IN_QUERY.search(scope["query_string"].decode("latin-1")):
            raise Malformed("Send credentials in a header, never in the address.")
        if caller is not None and (kept := self._kept_answers.get(scope)) is not None:
            scope["route"] = kept.route
            await kept.send(outgoing)
            return
        # A route answers HEAD as GET; `Outgoing` leaves out the body.
        inner = {**scope, "method": "GET"} if method == "HEAD" else scope
        limit = self._limit_bytes(method, scope["path"])
        await self._app(inner, _bounded(headers, receive, limit), outgoing)
        scope["route"] = inner.get("route")

    def _limit_bytes(self, method: str, path: str) -> int:
        if (method, path) == UPLOAD:
            return self._upload_limit_bytes
        if method == "PUT" and DOCUMENT.fullmatch(path):
            return max(self._body_limit_bytes, DOCUMENT_BYTES_MAX)
        return self._body_limit_bytes

    async def _caller(self, headers: Headers, scope: Scope) -> Caller | None:
        state = scope["state"]
        state["caller"], state["refusal"] = None, None
        try:
            caller = await self._doorkeeper.caller_of(headers, state["address"])
        except Exception as error:  # noqa: BLE001 - told by the route, if it is not a public one
            state["refusal"] = error
            if not isinstance(error, DomainError):
                log.warning("caller not checked", error=str(error)[:500])
            return None
        state["caller"] = caller
        return caller


class Outgoing:
    """Adds headers to an answer as it leaves, and remembers its status."""

    def __init__(self, send: Send, extra: list[tuple[bytes, bytes]], *, without_body: bool) -> None:
        self._send = send
        self._without_body = without_body
        self.extra = extra
        self.status = 0

    async def __call__(self, message: Message) -> None:
        """Send one message."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = message.get("headers", [])
            said = {name for name, _ in own} & OVERRIDABLE
            extra = [header for header in (*self.extra, POLICY) if header[0] not in said]
            message["headers"] = [*own, *extra]
        elif self._without_body:
            message["body"] = b""
        await self._send(message)


def _bounded(headers: Headers, receive: Receive, limit: int) -> Receive:
    """Return a `receive` that refuses a body over the limit, announced or not."""
    announced = headers.get("content-length", "0")
    received = 0

    async def bounded() -> Message:
        nonlocal received
        if announced.isdecimal() and int(announced) > limit:
            raise BodyTooLarge(limit_bytes=limit)
        message = await receive()
        if message["type"] == "http.request":
            received += len(message.get("body", b""))
            if received > limit:
                raise BodyTooLarge(limit_bytes=limit)
        return message

    return bounded


def _request_id(sent: str | None) -> str:
    if sent is not None and REQUEST_ID.fullmatch(sent):
        return sent
    return f"req-{secrets.token_hex(10)}"
