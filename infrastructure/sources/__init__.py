"""Sources: code that was uploaded instead of an image, kept by the digest of its content.

A *source* belongs to a team; the same files uploaded twice are one source. Deployments name it
like an image, `source/<runtime>:<digest>`, so that everything which is true of images (revisions,
rollbacks, what an event says) is true of code. Only the content lies here, never in an event.
"""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal, Protocol, get_args

import msgspec

from domain.kernel.errors import LimitReached, RuleViolated

Runtime = Literal["python", "node", "go"]
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
_REFERENCE = re.compile(rf"source/({'|'.join(RUNTIMES)}):([0-9a-f]{{64}})")


class UnknownSource(RuleViolated):
    """This code was not uploaded for this team, or was not used for so long that it is gone."""


class UploadTooLarge(RuleViolated):
    """The upload is larger than this API takes."""


class TooManySources(LimitReached):
    """The team's code takes all the room that it may; delete deployments to make room."""


class SourceReference(msgspec.Struct, frozen=True):
    """Which code, and what runs it."""

    runtime: Runtime
    digest: str

    def __str__(self) -> str:
        """Return the reference as deployments name it."""
        return f"source/{self.runtime}:{self.digest}"


def source_of(image: str) -> SourceReference | None:
    """Return the source that is named in an image's place, None for an image."""
    match = _REFERENCE.fullmatch(image)
    return None if match is None else SourceReference(match[1], match[2])  # type: ignore[arg-type]


class StoredSource(msgspec.Struct, frozen=True, kw_only=True):
    """One source that was taken in."""

    reference: SourceReference
    files: int
    stored_bytes: int


class Sources(Protocol):
    """Takes code in, and knows what there is."""

    async def keep(
        self,
        chunks: AsyncIterator[bytes],
        *,
        team_id: str,
        runtime: Runtime | None,
        used: frozenset[str],
    ) -> StoredSource:
        """Take in an archive as it comes; `used` are the digests that must not be let go."""
        ...

    def claim(self, team_id: str, digest: str) -> bool:
        """Tell whether the team has the source; it stays for a while if so."""
        ...


class SourceFiles(Protocol):
    """Where code lies that was taken in."""

    def locate(self, digest: str) -> Path | None:
        """Return the source, packed canonically, whosever it was; None when it is nowhere.

        For those who read of it in the log: whoever wrote that had the right to.
        """
        ...
