"""Access tokens as JSON Web Tokens (RFC 9068) signed with Ed25519.

The header is read before any cryptography and must be exactly what we write: one algorithm, one
type, a key id of ours, nothing else. So no `alg`, `jku`, `jwk` or `crit` of a stranger is ever
acted on. Times are checked here against the caller's clock, strictly as integers.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from infrastructure.tokens import AccessToken, InvalidToken

ALGORITHM = "EdDSA"
TYPE = "at+jwt"
TOKEN_LENGTH_MAX = 2048
CLOCK_SKEW = timedelta(seconds=5)
"""How far the clocks of two of our processes may be apart."""
PARTS = 3


class JwtTokens:
    """Signs with one key; accepts it and, during a rotation, the keys before."""

    def __init__(
        self,
        *,
        signing_key_pem: str,
        issuer: str,
        lifetime_seconds: int,
        audience: str = "tallyport-api",
        earlier_keys_pem: Sequence[str] = (),
    ) -> None:
        key = load_pem_private_key(signing_key_pem.encode(), password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise TypeError("the signing key is not an Ed25519 key")
        self._key = key
        self._kid = key_id(key.public_key())
        self._issuer = issuer
        self._audience = audience
        self._lifetime = timedelta(seconds=lifetime_seconds)
        self._public_keys = {self._kid: key.public_key()}
        for pem in earlier_keys_pem:
            earlier = _public_key(pem)
            self._public_keys[key_id(earlier)] = earlier

    def issue(self, *, user_id: str, session_id: str, now: datetime) -> tuple[str, datetime]:
        """Return a token and when it ends."""
        issued_at = int(now.timestamp())
        ends_at = issued_at + int(self._lifetime.total_seconds())
        token = jwt.encode(
            {
                "iss": self._issuer,
                "aud": self._audience,
                "sub": user_id,
                "sid": session_id,
                "jti": token_hex(8),
                "iat": issued_at,
                "exp": ends_at,
            },
            self._key,
            algorithm=ALGORITHM,
            headers={"typ": TYPE, "kid": self._kid},
        )
        return token, datetime.fromtimestamp(ends_at, UTC)

    def read(self, token: str, *, now: datetime) -> AccessToken:
        """Return what a good token says; raises `InvalidToken`."""
        key = self._public_keys.get(_kid_of(token))
        if key is None:
            raise InvalidToken
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=self._audience,
                issuer=self._issuer,
                options={
                    "require": ["iss", "aud", "sub", "sid", "iat", "exp"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise InvalidToken from error
        return self._checked(claims, now)

    def _checked(self, claims: dict[str, Any], now: datetime) -> AccessToken:
        numbers = [claims[name] for name in ("iat", "exp")]
        texts = [claims[name] for name in ("sub", "sid")]
        if any(type(number) is not int for number in numbers) or "nbf" in claims:
            raise InvalidToken
        if not all(isinstance(text, str) for text in texts):
            raise InvalidToken
        skew = int(CLOCK_SKEW.total_seconds())
        seconds = now.timestamp()
        issued_at, ends_at = claims["iat"], claims["exp"]
        if not issued_at - skew <= seconds < ends_at:
            raise InvalidToken
        if ends_at - issued_at > self._lifetime.total_seconds():
            raise InvalidToken
        return AccessToken(
            user_id=claims["sub"],
            session_id=claims["sid"],
            expires_at=datetime.fromtimestamp(ends_at, UTC),
        )


def key_id(key: Ed25519PublicKey) -> str:
    """Return a key's thumbprint (RFC 7638)."""
    x = base64.urlsafe_b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).rstrip(b"=")
    canonical = f'{{"crv":"Ed25519","kty":"OKP","x":"{x.decode()}"}}'
    digest = hashlib.sha256(canonical.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _public_key(pem: str) -> Ed25519PublicKey:
    """Return the public key of a pair, given as either of the two."""
    if "PRIVATE KEY" in pem:
        private = load_pem_private_key(pem.encode(), password=None)
        key = private.public_key() if isinstance(private, Ed25519PrivateKey) else None
    else:
        public = load_pem_public_key(pem.encode())
        key = public if isinstance(public, Ed25519PublicKey) else None
    if key is None:
        raise TypeError("an earlier key is not an Ed25519 key")
    return key


def _kid_of(token: str) -> str:
    """Return the key id of a token whose header is exactly ours; raises `InvalidToken`."""
    parts = token.split(".")
    if len(token) > TOKEN_LENGTH_MAX or len(parts) != PARTS or not token.isascii():
        raise InvalidToken
    try:
        text = base64.b64decode(parts[0] + "=" * (-len(parts[0]) % 4), b"-_", validate=True)
        pairs = json.loads(text, object_pairs_hook=list)
    except (ValueError, binascii.Error, RecursionError) as error:
        raise InvalidToken from error
    if not isinstance(pairs, list) or any(not isinstance(pair, tuple) for pair in pairs):
        raise InvalidToken
    header = dict(pairs)
    expected = {"alg", "typ", "kid"}
    if len(pairs) != len(expected) or set(header) != expected:
        raise InvalidToken
    kid = header["kid"]
    if header["alg"] != ALGORITHM or header["typ"] != TYPE or not isinstance(kid, str):
        raise InvalidToken
    return kid
