"""Runs an example of the portal as a person would who has copied it into a file."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.node import node

PATH = f"{os.environ['PATH']}:/usr/local/go/bin"
SECONDS_MAX = 300
"""A first run of Go compiles what it comes with."""


def run(language: str, example: str, *, key: str, folder: Path) -> str | None:
    """Return what the example prints; None where the language is missing and may be.

    Only Go may, and not with TALLYPORT_REQUIRE_GO=1: whoever has the dashboard has Node.
    """
    names = {"curl": "curl.sh", "Python": "it.py", "JavaScript": "it.mjs", "Go": "it.go"}
    path = folder / names[language]
    path.write_text(example)
    commands = {"curl": ["bash"], "Python": [sys.executable], "Go": ["go", "run"]}
    command = commands.get(language) or [str(node())]
    if shutil.which(command[0], path=PATH) is None:
        if os.environ.get("TALLYPORT_REQUIRE_GO") == "1":
            pytest.fail(f"there is no {command[0]}, and TALLYPORT_REQUIRE_GO=1")
        return None
    done = subprocess.run(
        [*command, str(path)],
        env={**os.environ, "PATH": PATH, "TALLYPORT_KEY": key, "GOTOOLCHAIN": "local"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS_MAX,
    )
    assert done.returncode == 0, done
    return done.stdout
