"""The registry protocol (OCI Distribution Specification 1.1): one HEAD, after signing in."""

import asyncio
import re
from collections.abc import Collection
from urllib.parse import urlsplit

import httpx
import msgspec
import structlog

from infrastructure.outside import NotPublic
from infrastructure.outside.client import Lookup, outside_client
from infrastructure.registries import ImageRefused, RegistryAway

_OCI, _DOCKER = "application/vnd.oci.image", "application/vnd.docker.distribution.manifest"
ACCEPT = f"{_OCI}.index.v1+json, {_OCI}.manifest.v1+json, {_DOCKER}.list.v2+json, {_DOCKER}.v2+json"
ANSWER_BYTES_MAX = 64 * 1024
DOCKER_HUB, DOCKER_HUB_API = "docker.io", "registry-1.docker.io"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
OK, UNAUTHORIZED, TOO_MANY, SERVER_ERROR = 200, 401, 429, 500

log = structlog.get_logger()


class Reference(msgspec.Struct, frozen=True):
    """An image's reference, taken apart."""

    registry: str
    repository: str
    version: str
    """A tag or a digest."""


def parse(image: str) -> Reference:
    """Return the parts of a valid reference, as Docker reads it."""
    name, _, digest = image.partition("@")
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, path = first, rest
    else:
        registry, path = DOCKER_HUB, name
    path, _, tag = path.partition(":")
    if registry == DOCKER_HUB and "/" not in path:
        path = f"library/{path}"
    return Reference(registry, path, digest or tag or "latest")


class HttpRegistries:
    """Asks registries over HTTPS; those that the operator calls private may be asked without."""

    def __init__(
        self,
        *,
        private: Collection[str] = (),
        timeout_seconds: float = 8.0,
        lookup: Lookup | None = None,
    ) -> None:
        """Take the private registries as `host` or `host:port`."""
        self._private = frozenset(private)
        self._timeout_seconds = timeout_seconds
        self._client = outside_client(
            timeout_seconds=timeout_seconds, private_hosts=self._private, lookup=lookup
        )

    async def digest_of(
        self, image: str, *, username: str | None = None, password: str | None = None
    ) -> str | None:
        """Return the digest; when the registry cannot be asked just now the one named, or None.

        An image that is named by its digest is asked for as well: the engine may have it already,
        for somebody who may see it.
        """
        reference = parse(image)
        named = reference.version if _DIGEST.fullmatch(reference.version) else None
        auth = httpx.BasicAuth(username, password) if username and password else None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._ask(reference, auth) or named
        except NotPublic as error:
            raise ImageRefused(
                f"The registry {reference.registry} is not on the public internet. If it is yours,"
                " the operator adds it to TALLYPORT_PRIVATE_REGISTRIES.",
                image=str(error),
            ) from None
        except httpx.InvalidURL as error:
            raise ImageRefused(f"{reference.registry} is not the name of a registry.") from error
        except (RegistryAway, TimeoutError, httpx.HTTPError, OSError) as error:
            log.warning("registry not asked", registry=reference.registry, error=repr(error)[:300])
            return named

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _ask(self, reference: Reference, auth: httpx.BasicAuth | None) -> str | None:
        host = DOCKER_HUB_API if reference.registry == DOCKER_HUB else reference.registry
        scheme = "http" if reference.registry in self._private else "https"
        url = f"{scheme}://{host}/v2/{reference.repository}/manifests/{reference.version}"
        headers = {"Accept": ACCEPT}
        answer = await self._client.head(url, headers=headers)
        if answer.status_code == UNAUTHORIZED:
            challenge = answer.headers.get("www-authenticate", "")
            if challenge.lower().startswith("bearer "):
                token = await self._token(challenge, reference, auth)
                headers["Authorization"] = f"Bearer {token}"
                answer = await self._client.head(url, headers=headers)
            elif auth is not None:
                answer = await self._client.head(url, headers=headers, auth=auth)
        if answer.status_code == OK:
            digest = answer.headers.get("docker-content-digest", "")
            return digest if _DIGEST.fullmatch(digest) else None
        # Asked again with a body: only that has the registry's own words.
        raise _refusal(reference, await self._client.get(url, headers=headers))

    async def _token(
        self, challenge: str, reference: Reference, auth: httpx.BasicAuth | None
    ) -> str:
        asked = dict(_CHALLENGE.findall(challenge))
        realm = asked.get("realm", "")
        if urlsplit(realm).scheme not in {"https", "http"}:
            raise RegistryAway("its challenge names no realm")
        answer = await self._client.get(
            realm,
            params={
                "service": asked.get("service", ""),
                "scope": f"repository:{reference.repository}:pull",
            },
            auth=auth or httpx.USE_CLIENT_DEFAULT,
        )
        if answer.status_code != OK:
            raise _refusal(reference, answer)
        try:
            said = msgspec.json.decode(answer.content[:ANSWER_BYTES_MAX], type=dict[str, object])
        except msgspec.DecodeError:
            raise RegistryAway("its token cannot be read") from None
        return str(said.get("token") or said.get("access_token") or "")


def _refusal(reference: Reference, answer: httpx.Response) -> Exception:
    """Return what the registry's answer means for the image."""
    status = answer.status_code
    if status == TOO_MANY or status >= SERVER_ERROR:
        return RegistryAway(f"it answered {status}")
    said = _words(answer) or answer.reason_phrase or "no reason given"
    name = f"{reference.registry}/{reference.repository}:{reference.version}"
    return ImageRefused(
        f"The registry refused {name}: {status} {said}.", image=name, registry=f"{status} {said}"
    )


def _words(answer: httpx.Response) -> str:
    """Return the first error's message (OCI Distribution Specification, error codes)."""
    try:
        errors = msgspec.json.decode(answer.content[:ANSWER_BYTES_MAX])["errors"]
        return str(errors[0].get("message") or errors[0].get("code"))[:200]
    except (msgspec.DecodeError, KeyError, IndexError, TypeError, AttributeError):
        return ""
