"""Sealing: what only the holder of a key may read, and nobody once the key is destroyed.

Every subject (a person, a team) has a data key of its own. A sealed text names its subject, so the
text says itself which key opens it. Destroying the key makes every copy unreadable at once: in the
log, in Kafka, in a view, in a backup.
"""

import re
from collections.abc import Iterable
from typing import Protocol

from domain.kernel.errors import DomainError

SEALED_TEXT = re.compile(r"sealed:1:([a-z]{3}-[0-9a-z]{10}):([A-Za-z0-9_-]+=*)")
"""`sealed:1:<subject>:<nonce and ciphertext in URL-safe base64>`."""
SEALED_BYTES = re.compile(SEALED_TEXT.pattern.encode())


class KeyDestroyed(DomainError):
    """The key of this subject no longer exists; what it sealed cannot be read any more."""


class Vault(Protocol):
    """Seals and opens texts. Keys are fetched by `load`, then used at once without waiting."""

    async def create(self, subject: str) -> None:
        """Make the subject's key unless there is one, and load it."""
        ...

    async def load(self, subjects: Iterable[str]) -> None:
        """Fetch the keys of these subjects; a destroyed one is remembered as such."""
        ...

    async def destroy(self, subjects: Iterable[str]) -> None:
        """Destroy the keys of these subjects: nobody opens again what they sealed.

        Another process forgets a key it has in memory within a minute. Destroying twice, or what
        never was, changes nothing.
        """
        ...

    def seal(self, text: str, *, subject: str, purpose: str) -> str:
        """Return the sealed text. The key must be loaded; raises `KeyDestroyed`."""
        ...

    def open(self, sealed: str, *, purpose: str) -> str:
        """Return the text. The key must be loaded; raises `KeyDestroyed`."""
        ...


def opened(vault: Vault, text: str, *, purpose: str) -> str | None:
    """Return the text in clear, None once its key is destroyed.

    A text that is not sealed is returned as it is. The key must be loaded.
    """
    if not text.startswith("sealed:"):
        return text
    try:
        return vault.open(text, purpose=purpose)
    except KeyDestroyed:
        return None


def subjects_in(data: bytes) -> set[str]:
    """Return the subjects whose sealed texts stand anywhere in the bytes."""
    if b"sealed:1:" not in data:
        return set()
    return {match[1].decode() for match in SEALED_BYTES.finditer(data)}


def mask(text: str) -> str:
    """Return the text with every sealed part replaced, for eyes that may not even see that."""
    return SEALED_TEXT.sub("[sealed]", text)
