"""Passkeys (WebAuthn): add, list, remove, sign in. Name and page of ours come from the settings."""

from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
)
from webauthn.helpers import base64url_to_bytes, options_to_json_dict
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from api.answers import Answer, answer, respond
from api.guard import OPEN_TO_ALL, GuardedRoute
from api.identity.challenges import answered, challenge
from api.identity.guesses import network
from api.identity.sessions import Session, session_of, user_agent
from api.lists import PageQuery, Pagination, pagination_of, sorted_by, window_of
from api.openapi import refusals
from api.requests import Asking, Read, Write, Writing, reading
from api.schemas import Input, Message, Output, Text, identifier
from commands.identity.passkeys import (
    AddedPasskey,
    AddPasskey,
    OfferPasskey,
    PasskeyOffer,
    RelyingParty,
    RemovePasskey,
    SignInWithPasskey,
)
from domain.identity.values import CHALLENGE_LIFETIME
from domain.kernel.errors import NotFound
from domain.kernel.ids import is_id
from projections.passkeys import PASSKEY_LISTING, PasskeyRow, list_passkeys

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["Identity"])

SIGN_IN = "sign in"
DEFAULT_PORTS = {"http": 80, "https": 443}
"""Which a browser leaves out of an origin."""
TIMEOUT_MS = int(CHALLENGE_LIFETIME.total_seconds() * 1000)

Base64 = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+={0,2}$", max_length=16_384)]
PasskeyId = Annotated[str, identifier("psk")]


class Authenticated(Input):
    """What the authenticator signed."""

    client_data_json: Annotated[Base64, Field(alias="clientDataJSON")]
    authenticator_data: Base64
    signature: Base64
    user_handle: Base64 | None = None


class Attested(Input):
    """What the authenticator made."""

    client_data_json: Annotated[Base64, Field(alias="clientDataJSON")]
    attestation_object: Base64
    authenticator_data: Base64 | None = None
    transports: Annotated[list[str], Field(max_length=10)] | None = None
    public_key: Base64 | None = None
    public_key_algorithm: int | None = None


class Credential(Input):
    """An answer of an authenticator, as `PublicKeyCredential.toJSON()` writes it."""

    id: Annotated[Base64, Field(max_length=1400)]
    raw_id: Annotated[Base64, Field(max_length=1400)]
    type: Literal["public-key"]
    authenticator_attachment: Annotated[str, Field(max_length=40)] | None = None
    client_extension_results: dict[str, Any] = Field(default_factory=dict)


class Assertion(Credential):
    """An answer of `navigator.credentials.get`."""

    response: Authenticated


class Attestation(Credential):
    """An answer of `navigator.credentials.create`."""

    response: Attested


class NewPasskey(Input):
    """A passkey to be added."""

    name: Annotated[Text, Field(min_length=1, max_length=60)]
    """By which its owner knows it."""
    credential: Attestation


class PasskeySignIn(Input):
    """A passkey that signs in."""

    credential: Assertion


class Nothing(Input):
    """No fields."""


class Ceremony(Output):
    """What a browser hands to the authenticator, in WebAuthn's JSON form."""

    public_key: dict[str, Any]


class Passkey(Output):
    """A passkey."""

    id: str
    name: str
    synced: bool
    """Whether it is copied between the person's devices."""
    created_at: datetime
    last_used_at: datetime | None


class NewlyAdded(Output):
    """A passkey that was just added."""

    id: str
    name: str
    synced: bool


class Passkeys(Output):
    """A part of the list of passkeys."""

    passkeys: list[Passkey]
    pagination: Pagination


@router.post("/user/passkeys/options", response_model=Ceremony, responses=refusals(401, 403))
async def registration_options(write: Writing) -> Response:
    """Begin to add a passkey; needs a sign-in or step-up of the last 15 minutes."""
    write.must_be_a_person()

    def offered(offer: PasskeyOffer) -> Answer:
        return answer(Ceremony(public_key=_registration(write, offer)))

    return await write.dispatch(OfferPasskey(), offered)


@router.post(
    "/user/passkeys",
    status_code=201,
    response_model=NewlyAdded,
    responses=refusals(401, 403, 409),
)
async def add(body: NewPasskey, write: Writing) -> Response:
    """Add the passkey that an authenticator made for our options."""
    user_id = write.must_be_a_person()
    command = AddPasskey(
        name=body.name,
        credential=_json_of(body.credential),
        challenge=_answered(write, _adding(user_id), body.credential.response.client_data_json),
        relying_party=_relying_party(write),
    )

    def added(made: AddedPasskey) -> Answer:
        return answer(
            NewlyAdded(id=made.passkey_id, name=made.name, synced=made.synced), status=201
        )

    return await write.dispatch(command, added)


@router.get(
    "/user/passkeys",
    response_model=Passkeys,
    responses=refusals(401, 403),
    openapi_extra=sorted_by(PASSKEY_LISTING),
)
async def list_all(
    query: Annotated[PageQuery, Query()], read: Annotated[Read, reading("passkeys")]
) -> Response:
    """List one's own passkeys."""
    user_id = read.must_be_a_person()
    window = window_of(query, PASSKEY_LISTING, "passkeys", read.services)
    page = await list_passkeys(read.views, window, user_id=user_id)
    return respond(
        Passkeys(
            passkeys=[_shown(row) for row in page.rows],
            pagination=pagination_of(page, window, query, "passkeys", read.services),
        )
    )


@router.delete(
    "/user/passkeys/{passkey_id}", response_model=Message, responses=refusals(401, 403, 404)
)
async def remove(passkey_id: PasskeyId, write: Writing) -> Response:
    """Remove a passkey; needs a sign-in or step-up of the last 15 minutes."""
    write.must_be_a_person()
    if not is_id(passkey_id, "psk"):
        raise NotFound
    return await write.dispatch(
        RemovePasskey(passkey_id=passkey_id),
        lambda _: answer(Message(message="Passkey removed")),
    )


@router.post(
    "/auth/passkeys/options",
    response_model=Ceremony,
    responses=refusals(),
    openapi_extra=OPEN_TO_ALL,
)
async def sign_in_options(_: Nothing, write: Writing) -> Response:
    """Begin to sign in with a passkey. The authenticator knows whose it is: we need not ask."""
    options = generate_authentication_options(
        rp_id=_relying_party(write).id,
        challenge=_challenge(write, SIGN_IN),
        timeout=TIMEOUT_MS,
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return respond(Ceremony(public_key=options_to_json_dict(options)))


@router.post(
    "/auth/passkeys", response_model=Session, responses=refusals(401), openapi_extra=OPEN_TO_ALL
)
async def sign_in(body: PasskeySignIn, write: Writing) -> Response:
    """Sign in with the passkey that answered our options."""
    options = write.options
    command = SignInWithPasskey(
        credential=_json_of(body.credential),
        challenge=_answered(write, SIGN_IN, body.credential.response.client_data_json),
        relying_party=_relying_party(write),
        lifetime=options.session_lifetime,
        idle_lifetime=options.session_idle_lifetime,
        network=network(write),
        user_agent=user_agent(write),
    )
    return await write.dispatch(command, lambda session: session_of(write, session))


def _registration(write: Write, offer: PasskeyOffer) -> dict[str, Any]:
    options = generate_registration_options(
        rp_id=_relying_party(write).id,
        rp_name=write.options.otp_issuer,
        user_id=offer.user_id.encode(),
        user_name=offer.email,
        user_display_name=offer.username,
        challenge=_challenge(write, _adding(offer.user_id)),
        timeout=TIMEOUT_MS,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[
            PublicKeyCredentialDescriptor(id=base64url_to_bytes(each))
            for each in offer.credential_ids
        ],
    )
    return options_to_json_dict(options)


def _adding(user_id: str) -> str:
    return f"add to {user_id}"


def _challenge(asking: Asking, purpose: str) -> bytes:
    return challenge(asking.services.secret, purpose, now=asking.services.clock())


def _answered(asking: Asking, purpose: str, client_data: str) -> bytes:
    services = asking.services
    return answered(services.secret, purpose, client_data, now=services.clock())


def _relying_party(asking: Asking) -> RelyingParty:
    url = urlsplit(asking.options.public_url)
    host, port = url.hostname or "", url.port
    written = f"[{host}]" if ":" in host else host
    if port is not None and port != DEFAULT_PORTS.get(url.scheme):
        written += f":{port}"
    return RelyingParty(id=host, origin=f"{url.scheme}://{written}")


def _json_of(credential: Assertion | Attestation) -> dict[str, Any]:
    """Return what is verified of the answer; the rest is for the browser."""
    response = credential.response.model_dump(by_alias=True, exclude_none=True)
    signed = ("clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle")
    return {
        "id": credential.id,
        "rawId": credential.raw_id,
        "type": credential.type,
        "response": {name: response[name] for name in signed if name in response},
    }


def _shown(row: PasskeyRow) -> Passkey:
    return Passkey(
        id=row.id,
        name=row.name,
        synced=row.synced,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
    )
