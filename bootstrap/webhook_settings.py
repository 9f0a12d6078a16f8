"""The settings about webhooks."""

from dataclasses import dataclass
from pathlib import Path

from bootstrap import setting_kinds as kinds
from bootstrap.setting_kinds import setting


@dataclass(frozen=True, kw_only=True)
class Webhooks:
    """Webhooks: what happens, told to servers of the teams' own."""

    per_team_max: int = setting(
        "TALLYPORT_WEBHOOKS_MAX",
        kinds.number(0, 10_000),
        "20",
        "Webhooks that one team may have.",
    )
    private_hosts: tuple[str, ...] = setting(
        "TALLYPORT_WEBHOOK_HOSTS",
        kinds.HOSTS,
        "",
        "Hosts of your own networks that webhooks may go to, at any port and also without TLS; all"
        " others have to be public and are reached at https, port 443.",
        otherwise=(),
    )
    ca_file: Path | None = setting(
        "TALLYPORT_WEBHOOK_CA_FILE",
        kinds.FOLDER,
        "",
        "Whom to trust besides the usual roots when a webhook is told over TLS: a PEM file.",
        otherwise=None,
        shown_default="the usual roots alone",
    )
    retention_days: int = setting(
        "TALLYPORT_WEBHOOK_RETENTION_DAYS",
        kinds.number(1, 365),
        "30",
        "Days the messages sent, and what they were answered with, are kept.",
    )
    disable_days: int = setting(
        "TALLYPORT_WEBHOOK_DISABLE_DAYS",
        kinds.number(1, 365),
        "3",
        "Days without one message taken, after which a webhook is disabled.",
    )
