"""Keys that somebody found lying about: who has one may say so, and it is shut out.

Nothing that is answered, stored or logged here has a key in it.
"""

from collections.abc import Collection, Sequence
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Header
from pydantic import BaseModel, ConfigDict, Field, RootModel
from starlette.responses import Response

from api.answers import answer
from api.errors import ApiError
from api.guard import OPEN_TO_ALL, GuardedRoute
from api.openapi import refusals
from api.requests import Write, Writing
from api.schemas import Input, Message, Output
from commands.api_keys import FoundKey, ReportLeakedKeys
from domain.api_keys.values import PREFIX_LENGTH, hash_of, looks_like_key, without_keys
from infrastructure.report_signatures import WrongSignature
from projections.api_keys import keys_by_hashes

router = APIRouter(route_class=GuardedRoute, prefix="/v1/leaks", tags=["API keys"])

HOLDER, GITHUB, GOOGLE = "holder", "github", "google"
FINDINGS_MAX = 1000
URL_LENGTH_MAX = 2000
THANKS = "Thank you. If this is an API key of ours, its team is told and it is dealt with."


class ReportsNotTaken(ApiError):
    """This installation takes no reports from this sender: the setting for its keys is not set."""

    status = 404


class LeakedKey(Input):
    """A key that was found."""

    api_key: Annotated[str, Field(min_length=1, max_length=500)]


class Finding(BaseModel):
    """A key as somebody scanning found it. They may say more one day, so more is not refused."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    token: str
    type: str
    url: str | None = None
    source: str | None = None


class Signed(NamedTuple):
    """What a sender says beside the report: which key signed, and how."""

    key_identifier: str
    signature: str


class Feedback(Output):
    """What a finding turned out to be."""

    token_hash: Annotated[str, Field(alias="token_hash")]
    """SHA-256 of the token, in hex."""
    token_type: Annotated[str, Field(alias="token_type")]
    label: str
    """`true_positive` for a key of ours, alive or not, else `false_positive`."""


class Feedbacks(RootModel[list[Feedback]]):
    """One for each finding."""


@router.post("", response_model=Message, responses=refusals(), openapi_extra=OPEN_TO_ALL)
async def report(body: LeakedKey, write: Writing) -> Response:
    """Report a key that you found. The answer is the same whatever it is."""
    known = await _known([body.api_key], write)
    return await write.dispatch(
        ReportLeakedKeys(
            found=tuple(
                FoundKey(key_id=key_id, secret_hash=each, prefix=body.api_key[:PREFIX_LENGTH])
                for each, key_id in known.items()
            ),
            reported_by=HOLDER,
            revoke=write.options.revoke_leaked_keys,
        ),
        lambda _: answer(Message(message=THANKS)),
    )


@router.post(
    "/github",
    response_model=Feedbacks,
    responses=refusals(403, 404),
    openapi_extra=OPEN_TO_ALL,
)
async def report_from_github(
    body: Annotated[list[Finding], Field(max_length=FINDINGS_MAX)],
    write: Writing,
    github_public_key_identifier: Annotated[str, Header(max_length=200)] = "",
    github_public_key_signature: Annotated[str, Header(max_length=1000)] = "",
) -> Response:
    """Take what GitHub's secret scanning found; only what GitHub signed."""
    signed = Signed(github_public_key_identifier, github_public_key_signature)
    return await _report_from(GITHUB, body, signed, write)


@router.post(
    "/google",
    response_model=Feedbacks,
    responses=refusals(403, 404),
    openapi_extra=OPEN_TO_ALL,
)
async def report_from_google(
    body: Annotated[list[Finding], Field(max_length=FINDINGS_MAX)],
    write: Writing,
    gosst_public_key_identifier: Annotated[str, Header(max_length=200)] = "",
    gosst_public_key_signature: Annotated[str, Header(max_length=1000)] = "",
) -> Response:
    """Take what Google's deps.dev found in packages; only what Google signed."""
    signed = Signed(gosst_public_key_identifier, gosst_public_key_signature)
    return await _report_from(GOOGLE, body, signed, write)


async def _report_from(
    sender: str, body: Sequence[Finding], signed: Signed, write: Write
) -> Response:
    signatures = write.services.report_signatures.get(sender)
    if signatures is None:
        raise ReportsNotTaken
    if not all(signed):
        raise WrongSignature
    await signatures.check(
        await write.request.body(),
        key_identifier=signed.key_identifier,
        signature=signed.signature,
    )
    known = await _known([finding.token for finding in body], write)
    found = tuple(
        FoundKey(
            key_id=known[secret_hash],
            secret_hash=secret_hash,
            prefix=finding.token[:PREFIX_LENGTH],
            url=without_keys(finding.url or "")[:URL_LENGTH_MAX] or None,
        )
        for finding in body
        if (secret_hash := hash_of(finding.token)) in known
    )
    feedback = Feedbacks(
        [
            Feedback(
                token_hash=hash_of(finding.token),
                token_type=finding.type,
                label="true_positive" if hash_of(finding.token) in known else "false_positive",
            )
            for finding in body
        ]
    )
    return await write.dispatch(
        ReportLeakedKeys(found=found, reported_by=sender, revoke=write.options.revoke_leaked_keys),
        lambda _: answer(feedback),
    )


async def _known(texts: Collection[str], write: Write) -> dict[str, str]:
    """Return the ids of the keys among the texts, by the hashes of their secrets."""
    hashes = {hash_of(text) for text in texts if looks_like_key(text)}
    rows = await keys_by_hashes(write.views, hashes) if hashes else {}
    if len(rows) < len(hashes):  # made a moment ago, perhaps
        await write.doorkeeper.catch_up("api_keys")
        rows = await keys_by_hashes(write.views, hashes)
    return {secret_hash: row.id for secret_hash, row in rows.items()}
