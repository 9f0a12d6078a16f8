"""Data keys in PostgreSQL, each wrapped by a key that PostgreSQL never sees.

AES-256-GCM with a random 96-bit nonce throughout (NIST SP 800-38D). The wrapping key comes from the
installation's secret by HKDF (RFC 5869), so a stolen database alone opens nothing. The purpose is
bound in as associated data: a text sealed as an e-mail address does not open as a password.
"""

import base64
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from psycopg_pool import AsyncConnectionPool

from infrastructure.sealing import SEALED_TEXT, KeyDestroyed

SEALING_SCHEMA = """
CREATE TABLE IF NOT EXISTS subject_keys (
    subject text PRIMARY KEY,
    wrapped bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT, INSERT, DELETE ON subject_keys TO tallyport_app;
-- What is left of a destroyed key on disk goes with the next round of autovacuum.
ALTER TABLE subject_keys SET (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0);
"""

REMEMBERED_SECONDS = 60.0
"""A key that was destroyed elsewhere is used for so long at most."""
FRESH_SECONDS = 30.0
"""A key in memory that is older is fetched again, so what `load` found stays usable for a while."""

_NONCE_BYTES = 12
_KEY_BYTES = 32


class PostgresVault:
    """The keys that were loaded stay in memory for a minute."""

    def __init__(
        self,
        pool: AsyncConnectionPool,
        *,
        secret: bytes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._wrapping = AESGCM(
            HKDF(SHA256(), _KEY_BYTES, salt=None, info=b"tallyport subject keys").derive(secret)
        )
        self._clock = clock
        self._keys: OrderedDict[str, tuple[float, AESGCM | None]] = OrderedDict()
        """When each was loaded, the one loaded first in front; None for a destroyed one."""

    async def create(self, subject: str) -> None:
        """Make the subject's key unless there is one, and load it."""
        nonce = os.urandom(_NONCE_BYTES)
        key = AESGCM.generate_key(256)
        wrapped = nonce + self._wrapping.encrypt(nonce, key, subject.encode())
        async with self._pool.connection() as connection:
            await connection.execute(
                "INSERT INTO subject_keys (subject, wrapped) VALUES (%s, %s)"
                " ON CONFLICT (subject) DO NOTHING",
                (subject, wrapped),
            )
        self._keys.pop(subject, None)
        await self.load([subject])

    async def load(self, subjects: Iterable[str]) -> None:
        """Fetch the keys of these subjects; a destroyed one is remembered as such."""
        now = self._clock()
        while self._keys and next(iter(self._keys.values()))[0] <= now - REMEMBERED_SECONDS:
            self._keys.popitem(last=False)
        fresh = now - FRESH_SECONDS
        missing = [s for s in set(subjects) if s not in self._keys or self._keys[s][0] <= fresh]
        if not missing:
            return
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT subject, wrapped FROM subject_keys WHERE subject = ANY(%s)", (missing,)
            )
            rows = await cursor.fetchall()
        found = {subject: self._unwrap(subject, wrapped) for subject, wrapped in rows}
        for subject in missing:
            self._keys.pop(subject, None)
            self._keys[subject] = (now, found.get(subject))

    async def destroy(self, subjects: Iterable[str]) -> None:
        """Destroy the keys of these subjects."""
        gone = list(subjects)
        async with self._pool.connection() as connection:
            await connection.execute("DELETE FROM subject_keys WHERE subject = ANY(%s)", (gone,))
        for subject in gone:
            self._keys.pop(subject, None)

    def seal(self, text: str, *, subject: str, purpose: str) -> str:
        """Return the sealed text. The key must be loaded; raises `KeyDestroyed`."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._key(subject).encrypt(nonce, text.encode(), purpose.encode())
        return f"sealed:1:{subject}:{base64.urlsafe_b64encode(sealed).decode()}"

    def open(self, sealed: str, *, purpose: str) -> str:
        """Return the text. The key must be loaded; raises `KeyDestroyed`."""
        match = SEALED_TEXT.fullmatch(sealed)
        if match is None:
            raise ValueError("not a sealed text")
        key = self._key(match[1])
        try:
            content = base64.urlsafe_b64decode(match[2])
            nonce, ciphertext = content[:_NONCE_BYTES], content[_NONCE_BYTES:]
            return key.decrypt(nonce, ciphertext, purpose.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise ValueError(
                "the sealed text was changed, or sealed for another purpose"
            ) from error

    def _unwrap(self, subject: str, wrapped: bytes) -> AESGCM:
        nonce, ciphertext = wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:]
        try:
            return AESGCM(self._wrapping.decrypt(nonce, ciphertext, subject.encode()))
        except InvalidTag as error:
            raise ValueError(
                f"the key of {subject} was not made with this installation's secret key"
            ) from error

    def _key(self, subject: str) -> AESGCM:
        _, key = self._keys.get(subject, (0.0, None))
        if key is None:
            raise KeyDestroyed
        return key
