"""Shapes that every route shares: camelCase outside, strict inside, unknown fields refused."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from email_validator import EmailNotValidError, validate_email
from fastapi import Path
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel
from pydantic.types import Strict

from api.bodies import check_text
from domain.kernel.errors import DomainError


class Input(BaseModel):
    """What a client sends. A field nobody knows is refused, never ignored."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", frozen=True, use_attribute_docstrings=True
    )


class Output(BaseModel):
    """What a client gets: exactly these fields."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )


class TeamQuery(Input):
    """Whose."""

    team_id: Annotated[str | None, Field(max_length=40)] = None
    """A team; the caller's own unless named."""


class Message(Output):
    """Words for a person."""

    message: str


def _text(value: str) -> str:
    try:
        return check_text(value)
    except DomainError as error:
        raise ValueError(error.message) from error


def _instant(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("must be a time like 2026-11-23T02:00:00Z")  # noqa: TRY004 - for pydantic
    return value.replace(" ", "+") if "T" in value else value  # a plus sign in an address


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("must say its time zone, for example Z")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is not a time we can count to") from None


def _email(value: str) -> str:
    try:
        validate_email(value.strip(), check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise ValueError("is not an e-mail address") from error
    return value.strip()


def _exact(value: Decimal) -> str:
    return format(value.normalize(), "f")


Integer = Annotated[int, Strict()]
Text = Annotated[str, AfterValidator(_text)]
Instant = Annotated[datetime, BeforeValidator(_instant), AfterValidator(_utc)]
EmailAddress = Annotated[str, Field(max_length=254), AfterValidator(_email)]
Amount = Annotated[Decimal, PlainSerializer(_exact, return_type=str)]
"""Money: exact, as text, never a float."""


def checked(rule: Callable[[str], object]) -> AfterValidator:
    """Return a validator that refuses, in the rule's words, text that the rule refuses."""

    def check(text: str) -> str:
        try:
            rule(text)
        except DomainError as error:
            raise ValueError(error.message) from error
        return text

    return AfterValidator(check)


def identifier(prefix: str) -> Any:  # noqa: ANN401 - what FastAPI's Path returns
    """Return the declaration of an id in a path."""
    return Path(
        description=f"`{prefix}-` and ten characters",
        examples=[f"{prefix}-0a1b2c3d4e"],
        # Told, not checked: what is not an id is as missing as an id of nothing.
        json_schema_extra={"pattern": f"^{prefix}-[0-9a-z]{{10}}$"},
    )
