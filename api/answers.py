"""An answer as a value: what is sent, and what is remembered for a repeated request."""

from collections.abc import Mapping

import msgspec
from pydantic import BaseModel
from starlette.responses import Response

from api.errors import CHALLENGE, MEDIA_TYPE, UNAUTHORIZED, problem_body, problem_of
from domain.kernel.errors import DomainError

OK = 200
ERROR = 400


class Answer(msgspec.Struct, frozen=True):
    """Status, JSON and headers."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}

    def response(self) -> Response:
        """Return it as it is sent."""
        headers = dict(self.headers)
        if self.status == UNAUTHORIZED:
            headers["WWW-Authenticate"] = CHALLENGE
        media_type = MEDIA_TYPE if self.status >= ERROR else "application/json"
        return Response(self.body, self.status, headers=headers, media_type=media_type)

    def with_headers(self, **headers: str) -> "Answer":
        """Return it with more headers; an underscore in a name stands for a hyphen."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return msgspec.structs.replace(self, headers={**self.headers, **more})

    def without(self, header: str) -> "Answer":
        """Return it without one of its headers."""
        kept = {name: value for name, value in self.headers.items() if name != header}
        return msgspec.structs.replace(self, headers=kept)


def answer(
    shape: BaseModel, *, status: int = OK, headers: Mapping[str, str] | None = None
) -> Answer:
    """Return the answer that says this."""
    return Answer(status, shape.model_dump_json(by_alias=True).encode(), headers or {})


def refusal(error: DomainError, *, request_id: str) -> Answer:
    """Return the answer that refuses."""
    problem = problem_of(error)
    return Answer(problem.status, problem_body(problem, request_id=request_id), problem.headers)


def respond(
    shape: BaseModel, *, status: int = OK, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a response that says this."""
    return answer(shape, status=status, headers=headers).response()
