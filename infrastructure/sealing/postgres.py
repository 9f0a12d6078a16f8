"""Data keys in PostgreSQL, each wrapped by a key that PostgreSQL never sees.

AES-256-GCM with a random 96-bit nonce throughout (NIST SP 800-38D). The wrapping key comes from the
installation's secret by HKDF (RFC 5869), so a stolen database alone opens nothing. The purpose is
bound in as associated data: a text sealed as an e-mail address does not open as a password.
"""

import base64
import os
from collections.abc import Iterable

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
"""

_NONCE_BYTES = 12
_KEY_BYTES = 32


class PostgresVault:
    """The keys that were loaded stay in memory for as long as the process lives."""

    def __init__(self, pool: AsyncConnectionPool, *, secret: bytes) -> None:
        self._pool = pool
        self._wrapping = AESGCM(
            HKDF(SHA256(), _KEY_BYTES, salt=None, info=b"tallyport subject keys").derive(secret)
        )
        self._keys: dict[str, AESGCM | None] = {}

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
        missing = [subject for subject in set(subjects) if subject not in self._keys]
        if not missing:
            return
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT subject, wrapped FROM subject_keys WHERE subject = ANY(%s)", (missing,)
            )
            rows = await cursor.fetchall()
        self._keys.update(dict.fromkeys(missing))
        for subject, wrapped in rows:
            self._keys[subject] = self._unwrap(subject, wrapped)

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
        key = self._keys.get(subject)
        if key is None:
            raise KeyDestroyed
        return key
