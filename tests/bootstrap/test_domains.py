"""How custom domains are looked after, by the settings."""

import msgspec

from bootstrap.domains import domain_schedule
from bootstrap.settings import load
from domain.custom_domains.values import Schedule


def test_unless_somebody_says_otherwise_domains_are_looked_at_as_the_domain_has_it() -> None:
    assert domain_schedule(load({})) == Schedule()


def test_an_operator_chooses_when_records_are_looked_at_and_how_long_they_may_be_wrong() -> None:
    chosen = load(
        {
            "TALLYPORT_DOMAINS_GIVE_UP_SECONDS": "3600",
            "TALLYPORT_DOMAINS_RECHECK_SECONDS": "600",
            "TALLYPORT_DOMAINS_GRACE_SECONDS": "0",
        }
    )
    assert domain_schedule(chosen) == msgspec.structs.replace(
        Schedule(), give_up_seconds=3600, recheck_seconds=600, grace_seconds=0
    )
