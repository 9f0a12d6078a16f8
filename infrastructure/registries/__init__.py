"""Image registries: what a tag means just now."""

from typing import Protocol

from domain.kernel.errors import RuleViolated


class ImageRefused(RuleViolated):
    """The registry does not give this image."""


class RegistryAway(Exception):
    """The registry did not answer, so nothing is known about the image."""


class Registries(Protocol):
    """Asks the registry that an image's reference names."""

    async def digest_of(
        self, image: str, *, username: str | None = None, password: str | None = None
    ) -> str | None:
        """Return the digest that the reference means now; None where nobody can be asked.

        Raises `ImageRefused` with the registry's answer: no such image, or not for these
        credentials.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class NoRegistries:
    """Asks nobody: the engine finds out when it pulls."""

    async def digest_of(
        self, image: str, *, username: str | None = None, password: str | None = None
    ) -> str | None:
        """Return nothing."""
        del image, username, password
        return None

    async def close(self) -> None:
        """Have nothing to close."""
