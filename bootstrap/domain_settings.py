"""The settings about custom domains."""

from dataclasses import dataclass

from bootstrap import setting_kinds as kinds
from bootstrap.setting_kinds import setting


@dataclass(frozen=True, kw_only=True)
class Domains:
    """Custom domains of deployed APIs."""

    per_deployment_max: int = setting(
        "TALLYPORT_DOMAINS_MAX",
        kinds.number(0, 10_000),
        "20",
        "Domains that one deployment may have.",
    )
    give_up_seconds: int = setting(
        "TALLYPORT_DOMAINS_GIVE_UP_SECONDS",
        kinds.number(60, 31_536_000),
        "604800",
        "How long a domain is tried whose records are not right yet.",
    )
    recheck_seconds: int = setting(
        "TALLYPORT_DOMAINS_RECHECK_SECONDS",
        kinds.number(60, 2_592_000),
        "86400",
        "How often the records of an active domain are looked at.",
    )
    grace_seconds: int = setting(
        "TALLYPORT_DOMAINS_GRACE_SECONDS",
        kinds.number(0, 31_536_000),
        "259200",
        "How long an active domain stays routed after its records are gone.",
    )
    dns_resolvers: tuple[tuple[str, int], ...] = setting(
        "TALLYPORT_DNS_RESOLVERS",
        kinds.SERVERS,
        "",
        "The DNS resolvers that custom domains are looked up with; with several, the next one is"
        " asked when one does not answer.",
        otherwise=(),
        shown_default="those of the machine",
    )
    gateway_addresses: tuple[str, ...] = setting(
        "TALLYPORT_GATEWAY_ADDRESSES",
        kinds.ADDRESSES,
        "",
        "The gateway's public addresses (IPv4 and IPv6), for domains that cannot have a CNAME;"
        " empty: each domain needs one.",
        otherwise=(),
    )
