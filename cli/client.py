"""The REST API as commands use it: signed in, patient for a moment, and never doing a thing twice.

What changes something carries an `Idempotency-Key`, so it can be sent again when its answer was
lost. What was written is seen by the next read, also by that of the next command.
"""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

import httpx

from cli.failures import ExitCode, Failed, Refused, not_signed_in
from cli.logins import Login, Logins
from cli.positions import Positions
from cli.terminal import ask, say

TIMEOUT = httpx.Timeout(35.0, connect=5.0)
ATTEMPTS_MAX = 4
PATIENCE_SECONDS = 15.0
"""How long a command waits by itself when it is told to come back later."""
PAGE_SIZE = 100
LIMITED = frozenset({429, 503})
STEP_UP = "step_up_required"
MIN_POSITION, POSITION = "X-Tallyport-Min-Position", "X-Tallyport-Position"

Json = Any
Query = Mapping[str, object]


@dataclass(frozen=True)
class Page:
    """What a list answered, and its rows."""

    answer: dict[str, Json]
    rows: list[dict[str, Json]]

    @property
    def total(self) -> int:
        """How many there are altogether."""
        return int(self.answer.get("pagination", {}).get("total", len(self.rows)))


class Client:
    """One API and who asks it."""

    def __init__(
        self,
        url: str,
        *,
        login: Login | None,
        logins: Logins,
        positions: Positions,
        user_agent: str,
    ) -> None:
        self.url = url
        self.login = login
        self._logins = logins
        self._positions = positions
        self._http = httpx.Client(
            base_url=f"{url}/v1", timeout=TIMEOUT, headers={"User-Agent": user_agent}
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    @property
    def socket_url(self) -> str:
        """Where WebSockets are opened."""
        scheme, _, rest = self.url.partition("://")
        return f"{'wss' if scheme == 'https' else 'ws'}://{rest}/v1"

    def get(self, path: str, /, **query: object) -> Json:
        """Return what a resource is."""
        return self._answer("GET", path, query=query)

    def post(self, path: str, body: Json = None, **query: object) -> Json:
        """Have something done or made."""
        return self._answer("POST", path, body=body, query=query)

    def put(self, path: str, body: Json) -> Json:
        """Change something."""
        return self._answer("PUT", path, body=body)

    def patch(self, path: str, body: Json) -> Json:
        """Change a part of something."""
        return self._answer("PATCH", path, body=body)

    def delete(self, path: str) -> Json:
        """Have something gone."""
        return self._answer("DELETE", path)

    def text(self, path: str, /, **query: object) -> str:
        """Return what is not JSON as it is."""
        return self._fine(self._answered("GET", path, query=query)).text

    def send(self, path: str, content: bytes, *, kind: str) -> Json:
        """Put a document of that media type there. Sent again, it changes nothing more."""
        return self._json(self._answered("PUT", path, chunks=lambda: (content,), kind=kind))

    def upload(self, path: str, chunks: Callable[[], Iterable[bytes]], **query: object) -> Json:
        """Send an archive. Sent again, it is the same one: what it holds is its name."""
        sent = self._answered("POST", path, chunks=chunks, kind="application/gzip", query=query)
        return self._json(sent)

    def listed(
        self, path: str, field: str, /, *, limit: int, everything: bool, **query: object
    ) -> Page:
        """Return a list's first rows, or all of them."""
        size = PAGE_SIZE if everything else limit
        answer = self.get(path, limit=size, **query)
        rows = list(answer[field])
        while everything and (cursor := answer["pagination"].get("nextCursor")):
            answer = self.get(path, limit=size, cursor=cursor, **query)
            rows += answer[field]
        return Page({**answer, field: rows}, rows)

    def each(self, path: str, field: str, /, **query: object) -> Iterator[dict[str, Json]]:
        """Yield every row of a list, as far as it is asked for."""
        cursor: str | None = None
        while True:
            answer = self.get(path, limit=PAGE_SIZE, cursor=cursor, **query)
            yield from answer[field]
            cursor = answer["pagination"].get("nextCursor")
            if not cursor:
                return

    def followed(self, path: str, **query: object) -> AbstractContextManager[httpx.Response]:
        """Return an answer that does not end, to be read line by line."""
        timeout = httpx.Timeout(TIMEOUT.connect, read=None)
        return self._http.stream(
            "GET", path, params=_sent(query), headers=self.credentials(), timeout=timeout
        )

    def refusal_of(self, answer: httpx.Response) -> Refused | None:
        """Return why a followed answer says nothing, None when it does."""
        if not answer.is_success:
            answer.read()
        return _refusal(answer)

    def open_to_all(self, method: str, path: str, body: Json = None) -> Json:
        """Return what is answered to nobody in particular: signing in."""
        return self._json(self._persist(lambda: self._send(method, path, json=body)))

    def health(self) -> Json:
        """Return which parts answer. That one is down is an answer too."""
        answer = self._persist(lambda: self._send("GET", f"{self.url}/health/ready"))
        return self._json(answer, also={503})

    def credentials(self) -> dict[str, str]:
        """Return the headers that say who asks, with a token that is still good."""
        if self.login is None:
            raise not_signed_in()
        if self.login.is_stale:
            self.login = self._logins.renewed(self.login, self._renew)
        return {"Authorization": f"Bearer {self.login.access_token}"}

    def _answer(
        self,
        method: str,
        path: str,
        *,
        body: Json = None,
        query: Query | None = None,
    ) -> Json:
        return self._json(self._answered(method, path, body=body, query=query))

    def _answered(
        self,
        method: str,
        path: str,
        *,
        body: Json = None,
        chunks: Callable[[], Iterable[bytes]] | None = None,
        kind: str = "",
        query: Query | None = None,
    ) -> httpx.Response:
        headers = {"Idempotency-Key": uuid.uuid4().hex} if method != "GET" and not chunks else {}
        if chunks is not None:
            headers["Content-Type"] = kind

        def send() -> httpx.Response:
            position = self._positions.of(self.url) if method == "GET" else None
            seen = {MIN_POSITION: position} if position else {}
            return self._send(
                method,
                path,
                params=_sent(query or {}),
                headers=headers | self.credentials() | seen,
                json=body,
                content=chunks() if chunks is not None else None,
            )

        answer = self._persist(send)
        refusal = _refusal(answer)
        if refusal is not None and refusal.error_code == STEP_UP and self._step_up():
            answer = self._persist(send)
        elif refusal is not None and any(each["field"] == MIN_POSITION for each in refusal.details):
            self._positions.forget(self.url)  # another log than the one we wrote to
            answer = self._persist(send)
        elif refusal is not None and self._is_renewed_after(refusal):
            answer = self._persist(send)
        return answer

    def _fine(self, answer: httpx.Response, *, also: Iterable[int] = ()) -> httpx.Response:
        """Return the answer, noting what was written by it; raises `Refused`."""
        refusal = _refusal(answer)
        if refusal is not None and answer.status_code not in also:
            raise refusal
        if position := answer.headers.get(POSITION):
            self._positions.reached(self.url, position)
        return answer

    def _json(self, answer: httpx.Response, *, also: Iterable[int] = ()) -> Json:
        try:
            return self._fine(answer, also=also).json()
        except ValueError:
            raise Failed(
                f"{self.url} does not answer like Tallyport.", "Check TALLYPORT_URL."
            ) from None

    def _persist(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        """Send; once more, and not for ever, when the answer was lost or it is too early."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        for attempt in range(ATTEMPTS_MAX):
            last = attempt == ATTEMPTS_MAX - 1
            try:
                answer = send()
            except httpx.ConnectError as error:
                raise unreachable(self.url, error) from error
            except httpx.TransportError as error:
                if last:
                    raise unreachable(self.url, error) from error
                time.sleep(0.2 * 2**attempt)
                continue
            seconds = _seconds_to_wait(answer)
            if last or seconds is None or time.monotonic() + seconds > deadline:
                return answer
            if seconds > 1:
                say(f"Tallyport says to wait {seconds:.0f} s ...")
            time.sleep(seconds)
        raise AssertionError  # the last attempt has returned or raised

    def _send(self, method: str, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401 - httpx's
        return self._http.request(method, path, **more)

    def _is_renewed_after(self, refusal: Refused) -> bool:
        """Tell whether the refused token could be renewed: it was good when it was sent."""
        if refusal.error_code != "invalid_credentials" or self.login is None:
            return False
        if self.login.refresh_token is None:
            return False
        self.login = self._logins.renewed(replace(self.login), self._renew)
        return True

    def _renew(self, stale: Login) -> Login:
        body = {"refreshToken": stale.refresh_token}
        answer = self._persist(lambda: self._send("POST", "/auth/refresh", json=body))
        said = self._json(answer)
        return replace(
            stale,
            access_token=said["accessToken"],
            refresh_token=said["refreshToken"],
            expires_at=datetime.fromisoformat(said["expiresAt"]),
        )

    def _step_up(self) -> bool:
        """Ask the person to prove once more to be there."""
        say("This needs a proof that it is you.")
        body = {"password": ask("Password", hidden=True)}
        try:
            self.post("/auth/step-up", body)
        except Refused as refusal:
            if refusal.error_code != "otp_required":
                raise
            self.post("/auth/step-up", {**body, "otp": ask("Code of your app")})
        return True


def _sent(query: Query) -> dict[str, str]:
    """Return what stands in the address: what is not given does not."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in query.items()
        if value not in (None, "")
    }


def _refusal(answer: httpx.Response) -> Refused | None:
    if answer.is_success:
        return None
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    return Refused(answer.status_code, problem if isinstance(problem, dict) else {})


def _seconds_to_wait(answer: httpx.Response) -> float | None:
    """Return after how long the same may be sent again, None when that is of no use."""
    if answer.status_code == httpx.codes.CONFLICT and b'"still_running"' in answer.content:
        return 0.5
    if answer.status_code not in LIMITED:
        return None
    try:
        return max(0.1, float(answer.headers.get("Retry-After", "1")))
    except ValueError:
        return 1.0


def unreachable(url: str, error: httpx.TransportError) -> Failed:
    """Return what is told when nobody answers."""
    return Failed(
        f"Nothing answers at {url} ({error or type(error).__name__}).",
        "Start Tallyport with `bin/up` (or `tallyport up`), or say with TALLYPORT_URL where it is.",
        code=ExitCode.UNAVAILABLE,
    )
