"""Writes docs/errors/ from the errors themselves, or tells that it is stale.

`python -m bootstrap.errors_reference --write` and `--check`, from the root of the checkout.
"""

import sys
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path

import bootstrap.rest  # noqa: F401  it imports every module that has an error
from api.errors import known_problems
from api.problems import Answer, Explanation, explain
from bootstrap.generated import write_or_check
from gateway.refusals import problems

_REMAKE = "python -m bootstrap.errors_reference --write"
_FOLDER = Path("docs/errors")
_INDEX = "README.md"
_HEAD = f"""\
# Errors

Every error of the API and of the gateway is `application/problem+json`
([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)) with a stable code in `error.code`. Its `type`
leads to the same page as here, on the installation itself.

Written by `{_REMAKE}`.

| code | status | from | meaning |
| - | - | - | - |
"""


def pages() -> Mapping[str, str]:
    """Return every file of the folder by its name."""
    known = explain(api=known_problems(), gateway=problems())
    return {_INDEX: _index(known), **{f"{one.code}.md": _page(one) for one in known}}


def _index(known: Sequence[Explanation]) -> str:
    return _HEAD + "".join(
        f"| [`{one.code}`]({one.code}.md) | {answer.status} | {answer.by} "
        f"| {answer.meaning.replace('|', 'or')} |\n"
        for one in known
        for answer in one.answers
    )


def _page(known: Explanation) -> str:
    answers = "\n\n".join(map(_answer, known.answers))
    return f"# `{known.code}`\n\n{answers}\n\n## What to do\n\n{known.what_to_do}\n"


def _answer(answer: Answer) -> str:
    title = f"**{answer.status} {HTTPStatus(answer.status).phrase}**, from the {answer.by}:"
    return f"{title} {answer.meaning}"


def main() -> int:
    """Write or check; return the exit code."""
    written = {_FOLDER / name: text for name, text in pages().items()}
    return write_or_check(__doc__, written, remake=_REMAKE, folder=_FOLDER)


if __name__ == "__main__":
    sys.exit(main())
