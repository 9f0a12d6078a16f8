"""What the command line takes from its surroundings. The only module here that reads them."""

import os
from dataclasses import dataclass
from pathlib import Path

URL, API_KEY = "TALLYPORT_URL", "TALLYPORT_API_KEY"
URL_DEFAULT = "http://127.0.0.1:8000"


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """Which API, who asks, and where this person's programs keep their settings."""

    url: str | None
    api_key: str | None
    folder: Path
    """Where saved logins are."""
    color: bool
    """Whether colour is welcome where somebody looks."""


def surroundings() -> Surroundings:
    """Return them. An empty variable counts as not set."""
    config = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Surroundings(
        url=os.environ.get(URL, "").strip() or None,
        api_key=os.environ.get(API_KEY, "").strip() or None,
        folder=Path(config) / "tallyport",
        color="NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb",
    )
