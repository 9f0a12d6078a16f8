"""Tokens and keys that somebody made up, bent, or used for what they are not."""

import asyncio
import base64
import hmac
import json
import socket
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from domain.api_keys.values import assemble_key
from tests.api.conftest import SIGNING_KEY, Api
from tests.api.test_routes import is_problem

KEY: Any = load_pem_private_key(SIGNING_KEY.encode(), None)
PUBLIC = (
    KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw),
)
"""The public key in the spellings that somebody may sign with as if it were a secret."""


def part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: object, claims: object, key: Ed25519PrivateKey = KEY) -> str:
    """Return a token whose signature is right, whatever it says."""
    content = f"{part(header)}.{part(claims)}"
    return f"{content}.{part(key.sign(content.encode()))}"


def headers_to_refuse(header: dict[str, Any]) -> list[object]:
    return [
        {**header, "alg": "none"},
        {**header, "alg": "nOnE"},
        {**header, "alg": "HS256"},
        {**header, "alg": "ES256"},
        {**header, "typ": "JWT"},
        {**header, "typ": "refresh+jwt"},
        {**header, "kid": "../../dev/null"},
        {**header, "kid": "' OR 1=1 --"},
        {**header, "kid": "http://192.0.2.9/key"},
        {**header, "kid": "k" * 10_000},
        {**header, "kid": None},
        {**header, "jku": "http://192.0.2.9/keys"},
        {**header, "x5u": "http://192.0.2.9/cert"},
        {**header, "jwk": {"kty": "OKP"}},
        {**header, "crit": ["exp"]},
        {key: value for key, value in header.items() if key != "kid"},
        [header],
        "header",
        b'{"alg":"EdDSA","alg":"EdDSA","typ":"at+jwt","kid":"' + header["kid"].encode() + b'"}',
    ]


def claims_to_refuse(claims: dict[str, Any]) -> list[object]:
    now = int(time.time())
    without = [
        {key: value for key, value in claims.items() if key != name}
        for name in ("exp", "iat", "sub", "sid", "iss", "aud")
    ]
    return [
        *without,
        {**claims, "exp": now - 1},
        {**claims, "exp": -1},
        {**claims, "exp": str(claims["exp"])},
        {**claims, "exp": float(claims["exp"])},
        {**claims, "exp": True},
        {**claims, "exp": 10**400},
        {**claims, "exp": now + 10**9},
        {**claims, "iat": now + 3600, "exp": now + 3700},
        {**claims, "nbf": now + 3600},
        {**claims, "iss": "http://elsewhere.test"},
        {**claims, "aud": "another-api"},
        {**claims, "sub": "usr-0000000000"},
        {**claims, "sub": 7},
        {**claims, "sid": "ses-0000000000"},
        {**claims, "sid": ["ses-0000000000"]},
        b'{"exp": 1e400}',
        [claims],
        "claims",
    ]


async def test_a_token_that_is_not_exactly_ours_is_refused_without_asking_anybody(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = await api.join()
    token = anna.session["accessToken"]
    header, claims = (
        jwt.get_unverified_header(token),
        jwt.decode(token, options={"verify_signature": False}),
    )
    assert signed(header, claims)  # what the others differ from
    good = {"Authorization": f"Bearer {signed(header, claims)}"}
    assert (await api.client.get("/v1/user/profile", headers=good)).status_code == 200

    content, _, signature = token.rpartition(".")
    stranger = Ed25519PrivateKey.generate()
    confused = f"{part({**header, 'alg': 'HS256'})}.{part(claims)}"
    wrong = [
        *(signed(each, claims) for each in headers_to_refuse(header)),
        *(signed(header, each) for each in claims_to_refuse(claims)),
        signed(header, claims, stranger),
        f"{content}.",
        content,
        f"{part({**header, 'alg': 'none'})}.{part(claims)}.",
        *(
            f"{confused}.{part(hmac.digest(public, confused.encode(), 'sha256'))}"
            for public in PUBLIC
        ),
        f"{content}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}",
        f"{token}.{signature}",
        f"{token}=",
        "a.b.c",
        "..",
        "eyJ" * 10_000,
        anna.session["refreshToken"],
    ]
    looked_up: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: looked_up.append(1))
    bodies = set()
    for each in wrong:
        answer = await api.nobody.ask("GET", "/v1/user/profile", Authorization=f"Bearer {each}")
        assert is_problem(answer, 401), each
        bodies.add(answer.json()["error"]["code"])
    assert bodies == {"invalid_credentials"}
    assert not looked_up


async def test_a_key_that_is_not_exactly_right_is_refused(api: Api) -> None:
    anna = await api.join()
    key = (await anna.create_key("deployments:read"))["apiKey"]
    path = "/v1/deployments"
    for good in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"}):
        assert (await api.client.get(path, headers=good)).status_code == 200
    both = {"X-API-Key": key, "Authorization": f"Bearer {key}"}
    assert (await api.client.get(path, headers=both)).status_code == 200

    other = (await anna.create_key("deployments:read"))["apiKey"]
    wrong = [
        key[:-1],
        key + "0",
        key.swapcase(),
        key[:-1] + ("0" if key[-1] != "0" else "1"),
        key.replace("tp_live_", "tp_test_"),
        assemble_key("0" * 12, "0" * 30),
        f"{key} {key}",
        f"{key},{other}",
        "",
        "\u00e9",
    ]
    codes = set()
    for each in wrong:
        for name, value in (("X-API-Key", each), ("Authorization", f"Bearer {each}")):
            answer = await api.client.get(path, headers=[(name.encode(), value.encode("latin-1"))])
            assert is_problem(answer, 401), each
            codes.add(answer.json()["error"]["code"])
    assert codes == {"invalid_credentials"}
    two: list[list[tuple[str, str]]] = [
        [("X-API-Key", key), ("X-API-Key", other)],
        [("X-API-Key", key), ("Authorization", f"Bearer {other}")],
        [("X-API-Key", key), ("Authorization", anna.headers["Authorization"])],
        [("Authorization", f"Bearer {key}"), ("Authorization", f"Bearer {key}")],
        [("Authorization", f"Basic {key}")],
    ]
    for headers in two:
        assert is_problem(await api.client.get(path, headers=headers), 401)


async def test_credentials_in_the_address_are_refused(api: Api) -> None:
    anna = await api.join()
    for name in ("api_key", "apikey", "token", "access_token", "key", "X-API-Key"):
        answer = await anna.ask("GET", f"/v1/images?x=1&{name}=tp_live_0")
        assert is_problem(answer, 400), name


async def test_a_key_works_at_once_and_no_more_after_its_revocation(api: Api) -> None:
    anna = await api.join()
    key = await anna.create_key("deployments:read")
    headers = {"X-API-Key": key["apiKey"]}
    assert (await api.client.get("/v1/deployments", headers=headers)).status_code == 200

    await anna.ask("DELETE", f"/v1/api-keys/{key['id']}")
    async with asyncio.timeout(30):
        while (await api.client.get("/v1/deployments", headers=headers)).status_code != 401:  # noqa: ASYNC110 - the API is asked
            await asyncio.sleep(0.02)
    assert is_problem(await api.client.get("/v1/deployments", headers=headers), 401)


async def test_a_key_that_has_expired_is_refused_from_that_moment(api: Api) -> None:
    anna = await api.join()
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    key = await anna.create_key("deployments:read", expiresAt=expires.isoformat())
    headers = {"X-API-Key": key["apiKey"]}
    for early, status in ((timedelta(microseconds=1), 200), (timedelta(0), 401)):
        answer = await api.at(expires - early).client.get("/v1/deployments", headers=headers)
        assert answer.status_code == status


async def test_a_key_gives_away_no_more_than_it_has(api: Api) -> None:
    anna = await api.join()
    program = await anna.with_key("keys:write", "call:*")
    for wanted, status in (("call:*", 201), ("deployments:write", 403), ("admin:*", 403)):
        answer = await program.post("/v1/api-keys", {"name": "more", "scopes": [wanted]})
        assert answer.status_code == status, wanted
