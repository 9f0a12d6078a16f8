"""Certificates: one store that all gateways share, and what is known of orders under way.

A private key is sealed whenever it is at rest and never shown: not by a `repr`, not in an error.
Whoever orders a certificate holds a *lease* on its name. Each lease has its *epoch*: who lost a
lease to a later one changes nothing any more, however long it slept.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol

import msgspec

Origin = Literal["authority", "uploaded"]


class LeaseLost(Exception):
    """Somebody else orders a certificate for this name by now."""


class Unusable(Exception):
    """This certificate or key cannot be used, and the message says why."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """What a certificate says about itself."""

    hosts: tuple[str, ...]
    """DNS names, in lower case; the first label may be `*`."""
    issuer: str
    fingerprint: str
    """SHA-256 of the certificate, in hex."""
    not_before: datetime
    not_after: datetime


class Inspector(Protocol):
    """Looks at a certificate that somebody brings for a host."""

    def __call__(
        self, chain_pem: str, key_pem: str, *, host: str, now: datetime
    ) -> tuple[str, str, Certificate]:
        """Return chain and key as they are to be stored, and the facts; raises `Unusable`."""
        ...


class StoredCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate with its private key, as a gateway needs it."""

    name: str
    """The host it is shown for."""
    owner_id: str
    """Whose it is: the id of a custom domain."""
    origin: Origin
    chain: str
    """PEM, the certificate itself first."""
    private_key: str
    certificate: Certificate

    def __repr__(self) -> str:
        return f"StoredCertificate({self.name!r}, {self.certificate!r})"


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored under one name, without what is secret."""

    name: str
    owner_id: str
    origin: Origin
    certificate: Certificate
    told: bool
    """Whether the log knows of it."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One certificate being ordered, and the lease under which that is done."""

    name: str
    owner_id: str
    epoch: int
    failures: int
    """How often in a row it failed before."""
    url: str | None = None
    """Where the authority keeps the order, once there is one."""
    private_key: str | None = None

    def __repr__(self) -> str:
        return f"Order({self.name!r}, epoch={self.epoch}, url={self.url!r})"


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Who we are for a certificate authority."""

    directory: str
    private_key: str
    url: str | None = None

    def __repr__(self) -> str:
        return f"Account({self.directory!r}, {self.url!r})"


class SharedState(msgspec.Struct, frozen=True, kw_only=True):
    """What every gateway shall have."""

    version: int
    certificates: Sequence[StoredCertificate]
    challenges: Mapping[str, str]
    """What an authority shall read, by its token."""


class CertificateStore(Protocol):
    """The one store of all gateways and workers."""

    async def read(self) -> SharedState:
        """Return what every gateway shall have."""
        ...

    async def version(self) -> int:
        """Return the newest version."""
        ...

    async def applied(self, gateway_id: str, version: int) -> int:
        """Hear that a gateway lives and has this version; return the newest version."""
        ...

    async def is_everywhere(self, version: int) -> bool:
        """Tell whether every living gateway has this version, and at least one does."""
        ...

    async def put(self, stored: StoredCertificate, *, told: bool = False) -> None:
        """Make this the certificate of its name."""
        ...

    async def remove(self, name: str, *, owner_id: str) -> None:
        """Forget the owner's certificate for the name, and what is under way for it."""
        ...

    async def standings(self) -> Sequence[Standing]:
        """Return everything that is stored."""
        ...

    async def mark_told(self, name: str, *, fingerprint: str) -> None:
        """Remember that the log knows of this certificate."""
        ...

    async def due(self, names: Mapping[str, str]) -> Sequence[str]:
        """Return which of the names (with their owners) may be tried now."""
        ...

    async def take_order(self, name: str, *, owner_id: str, lease_seconds: float) -> Order | None:
        """Take the lease on a name; None while somebody else holds it, or it is not yet time."""
        ...

    async def keep_order(self, order: Order, *, lease_seconds: float) -> None:
        """Hold the lease for longer; raises `LeaseLost`."""
        ...

    async def save_order(self, order: Order) -> None:
        """Remember the order's key and place; raises `LeaseLost`."""
        ...

    async def publish(self, order: Order, *, token: str, answer: str) -> int:
        """Let every gateway answer a challenge; return the version that has it."""
        ...

    async def finish_order(self, order: Order, stored: StoredCertificate) -> None:
        """Store what was ordered and forget the order, both at once; raises `LeaseLost`."""
        ...

    async def fail_order(self, order: Order, *, retry_seconds: float) -> None:
        """Forget what was under way and try anew later; raises `LeaseLost`."""
        ...

    async def account(self, directory: str) -> Account | None:
        """Return who we are for this authority."""
        ...

    async def save_account(self, account: Account) -> Account:
        """Remember who we are; whoever was first stays. Return who that is."""
        ...
