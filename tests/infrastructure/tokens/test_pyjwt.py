from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from infrastructure.tokens import InvalidToken
from infrastructure.tokens.pyjwt import JwtTokens

NOW = datetime(2026, 11, 23, 2, 0, 0, 500_000, tzinfo=UTC)


def private_pem() -> tuple[str, str]:
    """Return a key and its public part."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def tokens(pem: str, *earlier: str, issuer: str = "http://api.test") -> JwtTokens:
    return JwtTokens(
        signing_key_pem=pem, issuer=issuer, lifetime_seconds=600, earlier_keys_pem=earlier
    )


def test_a_token_says_who_until_it_ends() -> None:
    ours = tokens(private_pem()[0])
    token, ends_at = ours.issue(user_id="usr-1", session_id="ses-1", now=NOW)
    read = ours.read(token, now=NOW)
    assert (read.user_id, read.session_id, read.expires_at) == ("usr-1", "ses-1", ends_at)
    assert ends_at == datetime(2026, 11, 23, 2, 10, tzinfo=UTC)
    ours.read(token, now=ends_at - timedelta(milliseconds=1))
    for moment in (ends_at, ends_at + timedelta(days=1), NOW - timedelta(minutes=1)):
        with pytest.raises(InvalidToken):
            ours.read(token, now=moment)


def test_the_clocks_of_two_processes_may_differ_a_little() -> None:
    ours = tokens(private_pem()[0])
    token, _ = ours.issue(user_id="usr-1", session_id="ses-1", now=NOW)
    assert ours.read(token, now=NOW - timedelta(seconds=4))


def test_tokens_of_the_key_before_are_good_during_a_rotation() -> None:
    (before, public_before), (after, _) = private_pem(), private_pem()
    token, _ = tokens(before).issue(user_id="usr-1", session_id="ses-1", now=NOW)
    assert tokens(after, public_before).read(token, now=NOW)
    with pytest.raises(InvalidToken):
        tokens(after).read(token, now=NOW)


def test_another_installations_tokens_are_refused() -> None:
    pem, _ = private_pem()
    token, _ = tokens(pem, issuer="http://b.test").issue(user_id="u", session_id="s", now=NOW)
    with pytest.raises(InvalidToken):
        tokens(pem).read(token, now=NOW)


def test_only_an_ed25519_key_signs() -> None:
    other = generate_private_key(SECP256R1())
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with pytest.raises(TypeError):
        tokens(pem)
