"""The rules there are, what each begins with, and the words for what it finds."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Literal

import msgspec

PLATFORM = "platform"
"""In the place of a team: the installation itself."""
WINDOW = timedelta(minutes=5)
"""How far back rules about requests look."""
REQUESTS_MIN = 20
"""Fewer requests in the window say nothing about a share of errors."""
MAILS_PER_HOUR_MAX = 20
"""Alerts of one team that are told by mail in an hour; the others are open all the same."""

Facts = Mapping[str, str | int]
Severity = Literal["critical", "warning"]


class Rule(StrEnum):
    """What counts as trouble."""

    ERROR_RATE = "error_rate"
    """Too many requests to a deployment end with 5xx."""
    DEPLOYMENT_UNHEALTHY = "deployment_unhealthy"
    """A deployment failed, has an unhealthy replica, or starts one again and again."""
    KEY_EXPIRING = "key_expiring"
    CERTIFICATE_EXPIRING = "certificate_expiring"
    """A certificate ends soon, or the order of a new one came to nothing."""
    DOMAIN_FAILING = "domain_failing"
    """The records of a domain do not lead here."""
    LIMIT_BREACHED = "limit_breached"
    """A key is refused again and again because of a limit."""
    EVENTS_PARKED = "events_parked"
    """A view could not apply an event."""
    WORKER_LAGGING = "worker_lagging"
    """A view is behind the log, or a worker does not run."""


PLATFORM_RULES = (Rule.EVENTS_PARKED, Rule.WORKER_LAGGING)
ABOUT_KEYS = (Rule.KEY_EXPIRING, Rule.LIMIT_BREACHED)
TEAM_RULES = tuple(rule for rule in Rule if rule not in PLATFORM_RULES)


class RuleSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How one rule is set for one team."""

    enabled: bool = True
    threshold: int | None = None
    """None: the rule has none."""
    mail: bool = True


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for a rule whoever's it is."""

    severity: Severity
    settings: RuleSettings
    """Until a team says otherwise."""
    unit: str = ""
    """What its threshold counts; empty where it has none."""
    least: int = 1
    most: int = 1
    meaning: str
    advice: str


KINDS: Mapping[Rule, Kind] = {
    Rule.ERROR_RATE: Kind(
        severity="critical",
        settings=RuleSettings(threshold=5),
        unit="percent",
        most=100,
        meaning="So large a share of the requests that were handed to a deployment failed (5xx) in"
        f" five minutes, of at least {REQUESTS_MIN}.",
        advice="Look at the deployment's logs and at what changed last; a rollback takes seconds.",
    ),
    Rule.DEPLOYMENT_UNHEALTHY: Kind(
        severity="critical",
        settings=RuleSettings(threshold=3),
        unit="restarts",
        most=100,
        meaning="A deployment failed, a replica has been unhealthy for a minute, or one was "
        "started so often again without staying up.",
        advice="Look at the deployment's logs: the last lines before a replica ended say why.",
    ),
    Rule.KEY_EXPIRING: Kind(
        severity="warning",
        settings=RuleSettings(threshold=14, mail=False),
        unit="days",
        most=90,
        meaning="An API key expires within so many days. Its owners get letters of their own.",
        advice="Give the key a later expiry, or a new key to the programs that use it.",
    ),
    Rule.CERTIFICATE_EXPIRING: Kind(
        severity="critical",
        settings=RuleSettings(threshold=7),
        unit="days",
        most=60,
        meaning="A domain's certificate ends within so many days, or could not be renewed.",
        advice="See what the domain's certificate says; renewal is tried again by itself.",
    ),
    Rule.DOMAIN_FAILING: Kind(
        severity="critical",
        settings=RuleSettings(),
        meaning="The DNS records of a domain do not lead here: it failed, or is about to.",
        advice="Compare the domain's records with the ones its page shows.",
    ),
    Rule.LIMIT_BREACHED: Kind(
        severity="warning",
        settings=RuleSettings(threshold=20),
        unit="requests",
        most=1_000_000,
        meaning="So many requests with one API key were refused (429) in five minutes.",
        advice="Raise the key's limit if its user is welcome to call so often.",
    ),
    Rule.EVENTS_PARKED: Kind(
        severity="critical",
        settings=RuleSettings(threshold=1),
        unit="events",
        most=1_000_000,
        meaning="So many events could not be applied to a view.",
        advice="The error says what is wrong. Retry the events once it is mended.",
    ),
    Rule.WORKER_LAGGING: Kind(
        severity="critical",
        settings=RuleSettings(threshold=60),
        unit="seconds",
        least=10,
        most=86_400,
        meaning="A view has not seen what the log has had for so long, or a worker does not run.",
        advice="See whether its process runs, and what its last lines say.",
    ),
}

_TITLES: Mapping[Rule, str] = {
    Rule.ERROR_RATE: "{name} answers with errors",
    Rule.DEPLOYMENT_UNHEALTHY: "{name} is not healthy",
    Rule.KEY_EXPIRING: "API key {name} expires soon",
    Rule.CERTIFICATE_EXPIRING: "The certificate of {name} needs attention",
    Rule.DOMAIN_FAILING: "{name} does not lead here",
    Rule.LIMIT_BREACHED: "API key {name} is over its limit",
    Rule.EVENTS_PARKED: "Events are parked for {name}",
    Rule.WORKER_LAGGING: "{name} is behind",
}
_DETAILS: Mapping[Rule, str] = {
    Rule.ERROR_RATE: "{errors} of {requests} requests failed in five minutes",
    Rule.DEPLOYMENT_UNHEALTHY: "{reason}",
    Rule.KEY_EXPIRING: "It ends at {at}",
    Rule.CERTIFICATE_EXPIRING: "{reason}",
    Rule.DOMAIN_FAILING: "{reason}",
    Rule.LIMIT_BREACHED: "{refused} requests were refused in five minutes",
    Rule.EVENTS_PARKED: "{parked} could not be applied",
    Rule.WORKER_LAGGING: "{reason}",
}


def title_of(rule: Rule, facts: Facts) -> str:
    """Return what is the matter, in a few words."""
    return _TITLES[rule].format_map({"name": "?", **facts})


def detail_of(rule: Rule, facts: Facts) -> str:
    """Return what was seen, in a sentence without its full stop."""
    return _DETAILS[rule].format_map(dict.fromkeys(_NAMES, "?") | dict(facts))


_NAMES = ("errors", "requests", "reason", "at", "refused", "parked")
