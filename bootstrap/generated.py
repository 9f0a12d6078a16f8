"""Pages that are made from the code: written, or checked to be what they would be."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path


def write_or_check(
    about: str | None, pages: Mapping[Path, str], *, remake: str, folder: Path | None = None
) -> int:
    """Do what the command line says (`--write` or `--check`); return the exit code.

    Of `folder` all Markdown is made: what is there beside `pages` is one too many.
    """
    parser = argparse.ArgumentParser(description=about)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write the files")
    action.add_argument("--check", action="store_true", help="fail if they are stale")
    writes = parser.parse_args().write
    too_many = set(folder.glob("*.md") if folder is not None else ()) - pages.keys()
    stale = too_many | {
        path
        for path, text in pages.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    }
    if not writes:
        if stale:
            names = ", ".join(sorted(path.name for path in stale))
            print(f"Stale: {names}. Run: {remake}", file=sys.stderr)  # noqa: T201 - a command
        return 1 if stale else 0
    for path in stale - too_many:
        path.parent.mkdir(exist_ok=True)
        path.write_text(pages[path], encoding="utf-8")
    for path in too_many:
        path.unlink()
    return 0
