"""ACME by certbot's own library, which waits in threads.

The account is made with the first order and kept in the certificate store, its key sealed: a second
process, or this one started again, is the same customer.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import msgspec
import requests
from acme import challenges, client, crypto_util, errors, messages
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_csr
from josepy.errors import Error as JoseError
from josepy.jwa import ES256
from josepy.jwk import JWK, JWKEC

from infrastructure.acme import CannotIssue, Challenge, OrderGone, new_private_key
from infrastructure.certificates import Account, CertificateStore

Result = TypeVar("Result")

ANSWER_SECONDS = 30
"""How long one answer of the authority may take."""
_RETRY_AFTER_SECONDS_MAX = 86_400.0
_REASON_CHARACTERS_MAX = 500
_NOT_FOUND = 404
_FAILURES = (messages.Error, errors.Error, requests.RequestException, JoseError, ValueError)


class AcmeAuthority:
    """See the port for what each does."""

    def __init__(
        self,
        directory: str,
        store: CertificateStore,
        *,
        email: str = "",
        ca_file: Path | None = None,
        poll_seconds: float = 1.0,
        patience_seconds: float = 90.0,
    ) -> None:
        self._directory = directory
        self._store = store
        self._email = email
        self._ca_file = ca_file
        self._poll_seconds = poll_seconds
        self._patience_seconds = patience_seconds
        self._client: SignedUp | None = None
        self._signing_up = asyncio.Lock()
        self._asking = asyncio.Lock()

    async def begin(self, host: str) -> str:
        """Order a certificate for the host."""
        body = messages.NewOrder(
            identifiers=[messages.Identifier(typ=messages.IDENTIFIER_FQDN, value=host)], profile=""
        )
        response = await self._post("newOrder", body)
        return str(response.headers["Location"])

    async def challenges(self, order_url: str) -> Sequence[Challenge]:
        """Return the HTTP-01 challenges nobody answered yet."""
        order = await self._order(order_url)
        if order.status == messages.STATUS_INVALID:
            raise CannotIssue(await self._why_not(order))
        if order.status != messages.STATUS_PENDING:
            return []
        found = []
        for url in order.authorizations:
            authorization = await self._authorization(url)
            if authorization.status == messages.STATUS_PENDING:
                found.append(await self._http_challenge(authorization))
        return found

    async def look(self, challenge: Challenge) -> None:
        """Tell the authority that it can look."""
        await self._post(challenge.url, challenges.HTTP01Response(key_authorization=""))

    async def complete(self, order_url: str, *, host: str, private_key: str) -> str:
        """Ask again and again what became of the order."""
        deadline = time.monotonic() + self._patience_seconds
        while time.monotonic() < deadline:
            order = await self._order(order_url)
            if order.status == messages.STATUS_INVALID:
                raise CannotIssue(await self._why_not(order))
            if order.status == messages.STATUS_VALID and order.certificate:
                response = await self._post(order.certificate, None)
                return str(response.text)
            if order.status == messages.STATUS_READY:
                csr = crypto_util.make_csr(private_key.encode(), [host])
                request = messages.CertificateRequest(csr=load_pem_x509_csr(csr))
                await self._post(order.finalize, request)
            await asyncio.sleep(self._poll_seconds)
        raise CannotIssue("The certificate authority did not finish in time.")

    async def close(self) -> None:
        """End the connections."""
        if self._client is not None:
            self._client[1].session.close()
            self._client = None

    async def _order(self, url: str) -> messages.Order:
        order: messages.Order = messages.Order.from_json((await self._post(url, None)).json())
        return order

    async def _authorization(self, url: str) -> messages.Authorization:
        answer = (await self._post(url, None)).json()
        authorization: messages.Authorization = messages.Authorization.from_json(answer)
        return authorization

    async def _http_challenge(self, authorization: messages.Authorization) -> Challenge:
        for one in authorization.challenges:
            if isinstance(one.chall, challenges.HTTP01):
                _, net = await self._signed_up()
                token = one.chall.encode("token")
                return Challenge(one.uri, token, one.chall.key_authorization(net.key))
        raise CannotIssue("The certificate authority does not take proof over HTTP (HTTP-01).")

    async def _why_not(self, order: messages.Order) -> str:
        for url in order.authorizations:
            authorization = await self._authorization(url)
            for one in authorization.challenges:
                if one.error is not None:
                    return _words(one.error)
        return _words(order.error) if order.error is not None else "The order is over."

    async def _post(self, where: str, body: Any) -> requests.Response:  # noqa: ANN401 - every kind of message
        signed_up, net = await self._signed_up()
        url = where if where.startswith("https:") else signed_up.directory[where]
        nonce = signed_up.directory["newNonce"]
        try:
            return await self._ask(lambda: net.post(url, body, new_nonce_url=nonce), net)
        except _AccountGone:
            # An authority for tests forgets everybody when it starts again: sign up once more.
            self._client = None
            await self._sign_up(anew=True)
            raise CannotIssue("The certificate authority had forgotten us.") from None

    async def _signed_up(self) -> "SignedUp":
        return self._client or await self._sign_up(anew=False)

    async def _sign_up(self, *, anew: bool) -> "SignedUp":
        async with self._signing_up:
            if self._client is not None:
                return self._client
            account = await self._store.account(self._directory)
            if account is None:
                begun = Account(directory=self._directory, private_key=new_private_key())
                account = await self._store.save_account(begun)
            key = JWKEC(key=load_pem_private_key(account.private_key.encode(), None))
            net = _Network(key, self._ca_file)
            made = client.ClientV2(await self._ask(lambda: self._look_up(net), net), net)
            if account.url is None or anew:
                url = await self._ask(lambda: self._register(made), net)
                account = await self._store.save_account(msgspec.structs.replace(account, url=url))
            net.account = messages.RegistrationResource(
                uri=account.url, body=messages.Registration()
            )
            self._client = (made, net)
            return self._client

    def _look_up(self, net: client.ClientNetwork) -> messages.Directory:
        return client.ClientV2.get_directory(self._directory, net)

    def _register(self, made: client.ClientV2) -> str:
        registration = messages.NewRegistration.from_data(
            email=self._email or None, terms_of_service_agreed=True
        )
        try:
            return str(made.new_account(registration).uri)
        except errors.ConflictError as known:
            return known.location

    async def _ask(self, question: Callable[[], Result], net: "_Network") -> Result:
        """Ask in a thread, one question at a time: the library's nonces are not for two."""
        async with self._asking:
            net.status = 0
            try:
                return await asyncio.to_thread(question)
            except _FAILURES as error:
                if isinstance(error, messages.Error) and error.code == "accountDoesNotExist":
                    raise _AccountGone from error
                words = f"The certificate authority cannot be asked ({type(error).__name__})."
                if isinstance(error, messages.Error):
                    words = _words(error)
                kind = OrderGone if net.status == _NOT_FOUND else CannotIssue
                raise kind(words, retry_after_seconds=net.retry_after) from error


SignedUp: TypeAlias = "tuple[client.ClientV2, _Network]"


class _AccountGone(Exception):
    """The authority does not know us."""


class _Network(client.ClientNetwork):
    """The library's network, which otherwise forgets what an error's headers said."""

    def __init__(self, key: JWK, ca_file: Path | None) -> None:
        super().__init__(key, alg=ES256, user_agent="tallyport", timeout=ANSWER_SECONDS)
        if ca_file is not None:
            self.verify_ssl = str(ca_file)  # type: ignore[assignment] # what requests itself takes
        self.retry_after: float | None = None
        self.status = 0

    def _send_request(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:  # noqa: ANN401 - the library's signature
        response = super()._send_request(method, url, *args, **kwargs)
        self.status = response.status_code
        self.retry_after = None if response.ok else _seconds(response.headers.get("Retry-After"))
        return response


def _seconds(retry_after: str | None) -> float | None:
    if retry_after is None:
        return None
    try:
        seconds = (
            float(retry_after)
            if retry_after.isdecimal()
            else parsedate_to_datetime(retry_after).timestamp() - time.time()
        )
    except ValueError:
        return None
    return min(max(seconds, 0.0), _RETRY_AFTER_SECONDS_MAX)


def _words(error: messages.Error) -> str:
    said = error.detail or error.description or error.typ
    code = f" ({error.code})" if error.code else ""
    # The authority repeats what it was answered, and that may be anything.
    printable = "".join(letter if letter.isprintable() else " " for letter in said)
    return f"The certificate authority says{code}: {printable[:_REASON_CHARACTERS_MAX]}"
