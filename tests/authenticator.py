"""A security key in software: makes passkeys and signs with them, rightly or as told."""

import base64
import hashlib
import json
import secrets
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40
AAGUID = bytes(16)


class Authenticator:
    """Holds one passkey at a time. Like a browser it fills in origin and type by itself."""

    def __init__(self, origin: str, rp_id: str) -> None:
        self.origin = origin
        self.rp_id = rp_id
        self.count = 0
        self.flags = PRESENT | VERIFIED
        self.user_handle: bytes | None = None
        self.credential_id = b""
        self._key = ec.generate_private_key(ec.SECP256R1())

    def create(self, options: dict[str, Any], **client_data: object) -> dict[str, Any]:
        """Answer `navigator.credentials.create`."""
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.credential_id = secrets.token_bytes(32)
        self.user_handle = unbase64(options["user"]["id"])
        numbers = self._key.public_key().public_numbers()
        public_key = cbor2.dumps(
            {
                1: 2,
                3: -7,
                -1: 1,
                -2: numbers.x.to_bytes(32, "big"),
                -3: numbers.y.to_bytes(32, "big"),
            }
        )
        attested = (
            AAGUID + len(self.credential_id).to_bytes(2, "big") + self.credential_id + public_key
        )
        auth_data = self._auth_data(self.flags | ATTESTED) + attested
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": auth_data})
        return self._answer(
            clientDataJSON=self._client_data("webauthn.create", options, client_data),
            attestationObject=attestation,
        )

    def get(self, options: dict[str, Any], **client_data: object) -> dict[str, Any]:
        """Answer `navigator.credentials.get`."""
        client = self._client_data("webauthn.get", options, client_data)
        auth_data = self._auth_data(self.flags)
        signature = self._key.sign(auth_data + hashlib.sha256(client).digest(), ec.ECDSA(SHA256()))
        parts = {"clientDataJSON": client, "authenticatorData": auth_data, "signature": signature}
        if self.user_handle is not None:
            parts["userHandle"] = self.user_handle
        return self._answer(**parts)

    def _auth_data(self, flags: int) -> bytes:
        digest = hashlib.sha256(self.rp_id.encode()).digest()
        return digest + bytes([flags]) + self.count.to_bytes(4, "big")

    def _client_data(self, kind: str, options: dict[str, Any], changes: dict[str, object]) -> bytes:
        said = {
            "type": kind,
            "challenge": options["challenge"],
            "origin": self.origin,
            "crossOrigin": False,
        }
        return json.dumps({**said, **changes}).encode()

    def _answer(self, **parts: bytes) -> dict[str, Any]:
        return {
            "id": base64url(self.credential_id),
            "rawId": base64url(self.credential_id),
            "type": "public-key",
            "authenticatorAttachment": "cross-platform",
            "clientExtensionResults": {},
            "response": {name: base64url(value) for name, value in parts.items()},
        }


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def unbase64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
