"""Tell a test of the domain as a story: given what happened, when somebody acts, then what follows.

given(DEPLOYMENT, requested, healthy).when(lambda d: d.stop()).then(DeploymentStopRequested())
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from domain.kernel.aggregates import Aggregate
from domain.kernel.errors import DomainError
from domain.kernel.events import Event

State = TypeVar("State", bound=msgspec.Struct)
Action = Callable[[Any], Sequence[Event]]


class Scenario(Generic[State]):
    """An aggregate with a past, and what an action made of it."""

    def __init__(self, aggregate: Aggregate[State], past: Sequence[Event]) -> None:
        self.aggregate = aggregate
        self.state = aggregate.replay(past)
        self.events: Sequence[Event] = ()
        self.refusal: DomainError | None = None

    def when(self, action: Action) -> "Scenario[State]":
        """Let somebody act. The state is immutable: only events change anything."""
        before = msgspec.json.encode(self.state)
        try:
            self.events = action(self.state)
        except DomainError as refusal:
            self.refusal = refusal
        assert msgspec.json.encode(self.state) == before, "a decision changed the state"
        return self

    def then(self, *expected: Event) -> "Scenario[State]":
        """Assert that exactly this happened."""
        assert self.refusal is None, f"refused: {self.refusal}"
        assert list(self.events) == list(expected)
        return self

    def then_refused(self, kind: type[DomainError]) -> "Scenario[State]":
        """Assert that it was refused for this reason."""
        assert type(self.refusal) is kind, f"{self.refusal!r}, {self.events}"
        return self

    def then_nothing_happened(self) -> "Scenario[State]":
        """Assert that it was neither refused nor changed anything."""
        return self.then()

    def and_then(self) -> "Scenario[State]":
        """Return the scenario in which the events have become the past."""
        following = Scenario(self.aggregate, ())
        following.state = self.aggregate.replay(self.events, self.state)
        return following

    def then_state(self, **expected: object) -> "Scenario[State]":
        """Assert what the state says after the events."""
        state = self.aggregate.replay(self.events, self.state)
        assert {name: getattr(state, name) for name in expected} == expected
        return self


def given(aggregate: Aggregate[State], *past: Event) -> Scenario[State]:
    """Begin with what has happened."""
    return Scenario(aggregate, past)
