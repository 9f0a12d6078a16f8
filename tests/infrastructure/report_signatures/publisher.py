"""Publishes public keys as GitHub does, on a local port, and signs with the private ones."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


class Publisher:
    """One sender of reports."""

    def __init__(self) -> None:
        self.private_keys: dict[str, ec.EllipticCurvePrivateKey] = {}
        self.url = ""
        self.asked = 0
        self.answer: tuple[str, bytes] | None = None
        """Status and body, instead of the keys."""

    def publish(self, identifier: str, curve: ec.EllipticCurve | None = None) -> None:
        self.private_keys[identifier] = ec.generate_private_key(curve or ec.SECP256R1())

    def sign(self, body: bytes, identifier: str) -> str:
        signature = self.private_keys[identifier].sign(body, ec.ECDSA(SHA256()))
        return base64.b64encode(signature).decode()

    def _published(self) -> bytes:
        keys = [
            {
                "key_identifier": identifier,
                "key": key.public_key()
                .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
                .decode(),
                "is_current": True,
            }
            for identifier, key in self.private_keys.items()
        ]
        return json.dumps({"public_keys": keys}).encode()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        status, body = self.answer or ("200 OK", self._published())
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        with suppress(OSError):  # whoever asked has heard enough
            writer.write(head.encode() + body)
            await writer.drain()
            writer.close()
            await writer.wait_closed()


@asynccontextmanager
async def publishing() -> AsyncIterator[Publisher]:
    publisher = Publisher()
    server = await asyncio.start_server(publisher._serve, "127.0.0.1", 0)
    publisher.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"
    async with server:
        yield publisher
