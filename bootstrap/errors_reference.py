"""Writes docs/errors/ from the errors themselves, or tells that it is stale.

`python -m bootstrap.errors_reference --write` and `--check`, from the root of the checkout.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path

import bootstrap.rest  # noqa: F401  it imports every module that has an error
from api.errors import known_problems
from api.problems import Answer, Explanation, explain
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
    parser = argparse.ArgumentParser(description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true")
    action.add_argument("--check", action="store_true")
    wanted = pages()
    there = {path.name: path.read_text(encoding="utf-8") for path in _FOLDER.glob("*.md")}
    if parser.parse_args().write:
        _FOLDER.mkdir(exist_ok=True)
        for name in there.keys() - wanted.keys():
            (_FOLDER / name).unlink()
        for name, text in wanted.items():
            (_FOLDER / name).write_text(text, encoding="utf-8")
        return 0
    stale = sorted(name for name in {*there, *wanted} if there.get(name) != wanted.get(name))
    if stale:
        names = ", ".join(stale)
        print(f"{_FOLDER} is stale ({names}): run `{_REMAKE}`", file=sys.stderr)  # noqa: T201 - a command
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
