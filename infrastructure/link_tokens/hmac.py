"""Link tokens by HMAC-SHA-256: `<subject>.<nonce>.<43 characters>`, all safe in a URL.

The texts are compared, not the bytes they stand for, so there is one spelling of each token.
"""

import base64
import hashlib
import hmac
import re

from infrastructure.link_tokens import LinkToken

_TOKEN = re.compile(
    r"([a-z]{3}-[0-9a-z]{10})\.([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]{43})", re.ASCII
)


class HmacLinkTokens:
    """Signs with one secret that is used for nothing else."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def issue(self, purpose: str, subject: str, nonce: str) -> str:
        """Return the token: the same for the same three, every time."""
        return f"{subject}.{nonce}.{self._signature(purpose, subject, nonce)}"

    def read(self, purpose: str, token: str) -> LinkToken | None:
        """Return what the token says, None if it was not issued here for this purpose."""
        found = _TOKEN.fullmatch(token)
        if found is None:
            return None
        subject, nonce, signature = found.groups()
        if not hmac.compare_digest(signature, self._signature(purpose, subject, nonce)):
            return None
        return LinkToken(subject, nonce)

    def _signature(self, purpose: str, subject: str, nonce: str) -> str:
        text = f"{purpose}\0{subject}\0{nonce}"
        digest = hmac.digest(self._secret, text.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
