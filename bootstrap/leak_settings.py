"""Settings about leaked API keys. Read by `bootstrap/settings.py`, like all."""

from dataclasses import dataclass

from bootstrap import setting_kinds as kinds
from bootstrap.setting_kinds import setting


@dataclass(frozen=True, kw_only=True)
class Leaks:
    """API keys that were found where others can read them."""

    action: str = setting(
        "TALLYPORT_LEAKED_KEYS",
        kinds.choice("revoke", "report"),
        "revoke",
        "What is done about a leaked key: `revoke` shuts it out at once, `report` only tells.",
    )
    github_keys_url: str = setting(
        "TALLYPORT_GITHUB_KEYS_URL",
        kinds.url("http", "https"),
        "",
        "Where GitHub publishes the keys it signs leak reports with: "
        "`https://api.github.com/meta/public_keys/secret_scanning`.",
        otherwise="",
        shown_default="reports from GitHub are not taken",
    )
