"""The tree of refusals. The class docstring is the default message.

DomainError
├── NotFound        there is no such thing, or it is not yours to see
├── NotAllowed      it is there, but you may not do this
├── AlreadyTaken    a unique value belongs to something else
├── RuleViolated    the request is understood and refused by a rule
└── LimitReached    a quota or a rate is used up
"""

from collections.abc import Mapping


class DomainError(Exception):
    """Something was refused."""

    def __init__(self, message: str | None = None, **details: object) -> None:
        self.message = message or " ".join((type(self).__doc__ or "").split())
        self.details: Mapping[str, object] = details
        super().__init__(self.message)

    @property
    def code(self) -> str:
        """The stable code: the class name in snake case."""
        name = type(self).__name__
        return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


class NotFound(DomainError):
    """There is no such resource."""


class NotAllowed(DomainError):
    """You may not do this."""

    team_id: str | None = None
    """In whose team, where that is known; told to nobody."""


class AlreadyTaken(DomainError):
    """This value is already in use."""


class RuleViolated(DomainError):
    """A rule forbids this."""


class LimitReached(DomainError):
    """A limit is reached."""
