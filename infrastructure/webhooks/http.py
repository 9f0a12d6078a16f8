"""Messages over HTTP, through the client for addresses that people name.

An answer counts once its status is there. Of its body only the beginning is read, as it comes and
not decompressed; a redirect is an answer like any other and is not followed. Everything together
takes no longer than the deadline.
"""

import asyncio
import ssl
from collections.abc import Collection
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path

import httpx

from infrastructure.outside import NotPublic
from infrastructure.outside.client import Lookup, outside_client
from infrastructure.webhooks import ANSWER_BYTES_MAX, Answer, Unreachable

TIMEOUT_SECONDS = 15.0
UNTRUSTED = "the certificate is of an authority that is not trusted here"
_DISTRUST = {  # OpenSSL's numbers, x509_vfy.h
    9: "the certificate is not valid yet",
    10: "the certificate has expired",
    18: "the certificate is signed by itself",
    62: "the certificate is for another host",
    64: "the certificate is for another host",
}


class HttpPoster:
    """Posts messages."""

    def __init__(
        self,
        *,
        private_hosts: Collection[str] = (),
        timeout_seconds: float = TIMEOUT_SECONDS,
        connections_max: int = 100,
        lookup: Lookup | None = None,
        ca_file: Path | None = None,
    ) -> None:
        """Take the hosts that the operator vouches for as `host` or `host:port`.

        `ca_file` has authorities to trust besides the usual ones.
        """
        self._timeout_seconds = timeout_seconds
        self._client = outside_client(
            timeout_seconds=timeout_seconds,
            private_hosts=private_hosts,
            lookup=lookup,
            connections_max=connections_max,
            ca_file=ca_file,
        )
        # What one team's server sets, another team's message to the same host must not carry.
        self._client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=()))

    async def post(self, url: str, *, headers: dict[str, str], body: bytes) -> Answer:
        """Return the answer; raises `Unreachable` when none came in time."""
        status: int | None = None
        retry_after: str | None = None
        kept = bytearray()
        sent = {**headers, "Accept-Encoding": "identity"}
        try:
            async with (
                asyncio.timeout(self._timeout_seconds),
                self._client.stream("POST", url, content=body, headers=sent) as answer,
            ):
                status = answer.status_code
                retry_after = answer.headers.get("retry-after")
                async for part in answer.aiter_raw():
                    kept += part
                    if len(kept) >= ANSWER_BYTES_MAX:
                        break
        except NotPublic:
            raise Unreachable("The host is not on the public internet.") from None
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            if status is None:
                raise Unreachable(_words(error, self._timeout_seconds)) from error
        return Answer(status=status or 0, body=_text(kept), retry_after=retry_after)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _words(error: Exception, seconds: float) -> str:
    """Return what went wrong, without repeating anything that came from the other side."""
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return f"No answer within {seconds:g} seconds."
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    for each in causes:
        if isinstance(each, ssl.SSLCertVerificationError):
            return f"TLS failed: {_DISTRUST.get(each.verify_code, UNTRUSTED)}."
    if any(isinstance(each, ssl.SSLError) for each in causes):
        return "TLS failed: the host does not speak it, or not as it should."
    if isinstance(error, httpx.ConnectError):
        return "No connection: the name is unknown, or nobody listens there."
    if isinstance(error, httpx.RemoteProtocolError):
        return "The answer was not HTTP, or its headers had no end."
    return "The connection broke before an answer came."


def _text(kept: bytearray) -> str:
    """Return the body as text that PostgreSQL takes."""
    return (
        bytes(kept[:ANSWER_BYTES_MAX])
        .decode(errors="replace")
        .replace("\0", "\N{REPLACEMENT CHARACTER}")
    )
