"""Documents as a reader works through them: every command in turn, in one shell.

A fence `sh run` is run, `sh run until shown` again until it says what stands below it, and
`sh not run (why)` is for the reader alone. A fence `text shown` is what the command before it says,
in which `...` stands for anything.
"""

import os
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from markdown_it import MarkdownIt

from tests.architecture.source_tree import ROOT

FOLDER = ROOT / "docs"
RUN, UNTIL_SHOWN, SHOWN = "sh run", "sh run until shown", "text shown"
NOT_RUN = re.compile(r"sh not run \(.+\)")
PATIENCE_SECONDS = 60.0
END = "that-was-all-of-it"


@dataclass
class Step:
    """One fence of commands, and what it is said to show."""

    line: int
    script: str
    until_shown: bool
    shown: str | None = None


def fences(file: Path) -> Iterator[tuple[int, str, str]]:
    """Yield line, info and content of everything that stands in a document as it is."""
    for token in MarkdownIt("commonmark").parse(file.read_text(encoding="utf-8")):
        if token.type in {"fence", "code_block"}:
            assert token.map is not None
            yield token.map[0] + 1, token.info.strip(), token.content


def steps_of(file: Path) -> list[Step]:
    """Return what a reader is told to do."""
    steps: list[Step] = []
    for line, info, content in fences(file):
        if info in {RUN, UNTIL_SHOWN}:
            steps.append(Step(line, content, info == UNTIL_SHOWN))
        elif info == SHOWN:
            assert steps, f"{file}:{line}: nothing was run that could show it"
            assert steps[-1].shown is None, f"{file}:{line}: two answers to one command"
            steps[-1].shown = content
    return steps


def documents_to_run() -> list[str]:
    """Return the documents that have something to run."""
    return [
        file.relative_to(FOLDER).as_posix()
        for file in sorted(FOLDER.rglob("*.md"))
        if steps_of(file)
    ]


class Reader:
    """Somebody who works through a document, in a copy of what a checkout has for that."""

    def __init__(self, home: Path, environment: Mapping[str, str], said: Mapping[str, str]) -> None:
        self._said = said
        """What a document says, and what is so here: addresses."""
        checkout = home / "checkout"
        checkout.mkdir()
        shutil.copytree(ROOT / "examples", checkout / "examples")
        (checkout / ".venv").symlink_to(Path(sys.executable).parent.parent)
        self._shell = subprocess.Popen(
            ["bash", "-o", "pipefail"],
            cwd=checkout,
            env={**environment, "PATH": f"{checkout}/.venv/bin:{os.environ['PATH']}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._shell.kill()
        self._shell.communicate()

    def follow(self, file: Path) -> None:
        """Do what the document says; fails where it says something else than what happens."""
        for step in steps_of(file):
            where = f"{file.relative_to(ROOT)}:{step.line}"
            deadline = time.monotonic() + PATIENCE_SECONDS
            while True:
                code, output = self._run(step, where)
                matches = step.shown is None or self._pattern(step.shown).fullmatch(output.strip())
                if matches and code == 0:
                    break
                if not step.until_shown or time.monotonic() > deadline:
                    raise AssertionError(f"{where} ends with {code} and shows:\n{output}")
                time.sleep(0.2)

    def _run(self, step: Step, where: str) -> tuple[int, str]:
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        # The first command that fails ends the shell, unless it may be too early for it.
        strict = "+e" if step.until_shown else "-e"
        script = f"set {strict}; {{ {self._here(step.script)}\n}} </dev/null"
        group = f"{script}\ncode=$?; echo; echo {END} $code\n"
        self._shell.stdin.write(group.encode())
        self._shell.stdin.flush()
        output, deadline = b"", time.monotonic() + PATIENCE_SECONDS
        ended = re.compile(rf"\n{END} (\d+)\n".encode())
        while (found := ended.search(output)) is None:
            assert time.monotonic() < deadline, f"{where} takes too long:\n{output.decode()}"
            if select.select([self._shell.stdout], [], [], 1.0)[0]:
                new = os.read(self._shell.stdout.fileno(), 65536)
                assert new, f"{where} failed:\n{output.decode()}"
                output += new
        return int(found[1]), output[: found.start()].decode()

    def _here(self, text: str) -> str:
        for said, here in self._said.items():
            text = text.replace(said, here)
        return text

    def _pattern(self, shown: str) -> re.Pattern[str]:
        text = re.sub(r"\n\.\.\.\Z", "...", self._here(shown).strip())  # there may be no more lines
        parts = map(re.escape, text.split("..."))
        return re.compile(".*?".join(parts), re.DOTALL)
