"""Answers that are given again: to the same caller, for the same question, while it holds.

A program that polls a list asks the same many times between two changes. An answer is kept for at
most a second, only until there is news of rows in a view that it was made from, and only for a
caller who may do exactly what they could when it was made. Who names a position
(`X-Tallyport-Min-Position`) is never given a kept one.
"""

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Scope, Send

from commands.work import Actor
from projections.reading import Reader

SECONDS = 1.0
ANSWERS_MAX = 500
BODY_BYTES_MAX = 32 * 1024
NEVER_WITH = frozenset({b"x-tallyport-min-position", b"content-length", b"transfer-encoding"})
OK = 200

Question = tuple[str, str | None, str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """An answer, and until when it holds."""

    body: bytes
    headers: list[tuple[bytes, bytes]]
    route: object
    actor: Actor
    views: Sequence[str]
    changes: tuple[int, ...]
    until: float

    async def send(self, send: Send) -> None:
        """Answer with it."""
        await send({"type": "http.response.start", "status": OK, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


class KeptAnswers:
    """The answers that are kept. One per process."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._answers: OrderedDict[Question, KeptAnswer] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, scope: Scope) -> KeptAnswer | None:
        """Return the answer for this request, if one is kept that still holds."""
        if scope["method"] != "GET":
            return None
        actor = scope["state"]["caller"].actor
        question = _question(scope, actor)
        kept = self._answers.get(question)
        if kept is None or any(name in NEVER_WITH for name, _ in scope["headers"]):
            return None
        if (
            kept.until < time.monotonic()
            or kept.changes != self._reader.changes(kept.views)
            or kept.actor != actor
        ):
            del self._answers[question]
            return None
        return kept

    def keep(
        self, scope: Scope, response: Response, *, views: Sequence[str], changes: tuple[int, ...]
    ) -> None:
        """Keep the answer to this request, unless it is large; the oldest goes for it."""
        body = bytes(response.body)
        if response.status_code != OK or len(body) > BODY_BYTES_MAX:
            return
        actor = scope["state"]["caller"].actor
        question = _question(scope, actor)
        self._answers[question] = KeptAnswer(
            body=body,
            headers=list(response.raw_headers),
            route=scope["route"],
            actor=actor,
            views=views,
            changes=changes,
            until=time.monotonic() + SECONDS,
        )
        self._answers.move_to_end(question)
        if len(self._answers) > ANSWERS_MAX:
            self._answers.popitem(last=False)


def _question(scope: Scope, actor: Actor) -> Question:
    return actor.id, actor.user_id, scope["path"], scope["query_string"]
