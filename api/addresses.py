"""Addresses as they were, for those who may see them: views and the log only have them sealed."""

from collections.abc import Sequence

from domain.kernel.events import ERASED
from infrastructure.event_store import ADDRESS_PURPOSE
from infrastructure.sealing import Vault, opened, subjects_in


async def opened_addresses(vault: Vault, kept: Sequence[str | None]) -> list[str | None]:
    """Return the addresses in clear, in the same order; `[erased]` where the key is destroyed."""
    await vault.load(subjects_in(" ".join(filter(None, kept)).encode()))
    return [None if one is None else _opened(vault, one) for one in kept]


def _opened(vault: Vault, kept: str) -> str:
    address = opened(vault, kept, purpose=ADDRESS_PURPOSE)
    return ERASED if address is None else address
