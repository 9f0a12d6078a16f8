"""Asks a replica for a document: that address and nothing else, and no more than one may be."""

import asyncio
from ipaddress import ip_address

import httpx

from infrastructure.documents import BYTES_MAX, Fetcher, NotFetched

SECONDS_MAX = 10.0
ACCEPT = "application/json, application/yaml;q=0.9, */*;q=0.1"


class ReplicaDocuments(Fetcher):
    """Fetches over HTTP. No redirect is followed, no proxy asked, nothing is unpacked."""

    def __init__(self, *, seconds_max: float = SECONDS_MAX) -> None:
        self._seconds_max = seconds_max
        self._client = httpx.AsyncClient(
            follow_redirects=False,
            trust_env=False,
            timeout=seconds_max,
            headers={
                "Accept": ACCEPT,
                "Accept-Encoding": "identity",
                "User-Agent": "tallyport-documents",
            },
        )

    async def fetch(self, address: str, port: int, path: str, *, host: str) -> bytes:
        """Return what the replica answers; raises `NotFetched`."""
        place = ip_address(address)
        origin = f"http://[{place}]:{port}" if place.version == 6 else f"http://{place}:{port}"  # noqa: PLR2004 - IPv6
        try:
            async with asyncio.timeout(self._seconds_max):
                return await self._get(origin + path, f"GET {path}", host)
        except TimeoutError:
            raise NotFetched(f"GET {path} was not answered in {self._seconds_max:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NotFetched(f"GET {path} was not answered in HTTP") from error

    async def close(self) -> None:
        """Close what is open."""
        await self._client.aclose()

    async def _get(self, url: str, what: str, host: str) -> bytes:
        async with self._client.stream("GET", url, headers={"Host": host}) as answer:
            if answer.status_code != httpx.codes.OK:
                raise NotFetched(f"{what} answered {answer.status_code}")
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise NotFetched(f"{what} was answered compressed, although that was not asked for")
            found = bytearray()
            async for part in answer.aiter_raw():
                found += part
                if len(found) > BYTES_MAX:
                    raise NotFetched(f"{what} answered more than {BYTES_MAX} bytes")
            return bytes(found)
