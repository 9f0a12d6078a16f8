"""Writes docs/settings.md and .env.example from the settings, or tells that they are stale.

`python -m bootstrap.settings_reference --write` and `--check`, from the root of the checkout.
"""

import sys
import textwrap
from itertools import groupby
from pathlib import Path

from bootstrap.generated import write_or_check
from bootstrap.setting_kinds import Declaration
from bootstrap.settings import declarations

_ROOT = Path(__file__).resolve().parent.parent
_REMAKE = "python -m bootstrap.settings_reference --write"
_MARKDOWN_HEAD = f"""\
# Settings

All settings are environment variables; `bootstrap/settings.py` is the only place that reads them.
An empty variable counts as not set. A value that cannot be used stops the start and is named;
`tallyport check-settings` tells without starting anything.

Written by `{_REMAKE}`."""
_EXAMPLE_HEAD = f"""\
# The environment of docker-compose.yml: copy to .env and fill in the first section.
# Written by: {_REMAKE}

# Needed by docker-compose.yml

# Passwords that only the containers use; `openssl rand -hex 24` makes one.
POSTGRES_PASSWORD=
POSTGRES_APP_PASSWORD=
CLICKHOUSE_PASSWORD=
REDIS_PASSWORD=

# The group that may use Docker's socket: `stat --format %g /var/run/docker.sock`.
DOCKER_GID=

# See below; the signing key as one line: `openssl genpkey -algorithm ed25519 | awk 1 ORS='\\\\n'`.
TALLYPORT_SECRET_KEY=
TALLYPORT_SIGNING_KEY=
"""


def markdown() -> str:
    """Return docs/settings.md."""
    parts = [_MARKDOWN_HEAD]
    for heading, declared in _sections():
        parts.append(
            f"\n## {heading}\n\n| variable | value | default | meaning |\n| - | - | - | - |"
        )
        parts += [
            f"| `{one.name}` | {one.kind.name} | {_default_cell(one)} | {one.meaning} |"
            for one in declared
        ]
    return "\n".join(parts) + "\n"


def example() -> str:
    """Return .env.example."""
    parts = [_EXAMPLE_HEAD]
    for heading, declared in _sections():
        parts.append(f"\n# {heading}")
        for one in declared:
            parts.append(
                "\n" + textwrap.fill(one.meaning, 98, initial_indent="# ", subsequent_indent="# ")
            )
            parts.append(f"#{one.name}={one.default}")
    return "\n".join(parts) + "\n"


def main() -> int:
    """Write or check; return the exit code."""
    pages = {_ROOT / "docs/settings.md": markdown(), _ROOT / ".env.example": example()}
    return write_or_check(__doc__, pages, remake=_REMAKE)


def _sections() -> list[tuple[str, list[Declaration]]]:
    grouped = groupby(declarations(), key=lambda pair: pair[0])
    return [(heading, [declared for _, declared in pairs]) for heading, pairs in grouped]


def _default_cell(one: Declaration) -> str:
    if one.default:
        return f"`{one.default}`"
    return one.shown_default.replace("<", "&lt;") or "empty"


if __name__ == "__main__":
    sys.exit(main())
