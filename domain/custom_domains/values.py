"""The words of a custom domain: its name, its records, what is wrong with them, the schedule."""

import ipaddress
import re
from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum

import idna
import msgspec

from domain.kernel.errors import RuleViolated

NAME_LENGTH_MAX = 253
LABELS_MIN = 2
PROOF_LABEL = "_tallyport"
PROOF_LENGTH = len(PROOF_LABEL) + 1
PROOF_PREFIX = "tallyport-domain-verification="
FOUND_MAX = 5
"""So many values of a record are told; who asks DNS can see the others."""
FOUND_LENGTH_MAX = 255


class DomainStatus(StrEnum):
    """Where a domain stands, as its owner sees it."""

    PENDING = "pending"
    ACTIVE = "active"
    FAILED = "failed"


class Fault(StrEnum):
    """What is wrong with a record."""

    MISSING = "missing"
    """The name is there, but has no record of this type."""
    WRONG = "wrong"
    NO_SUCH_NAME = "no_such_name"
    SERVER_FAILURE = "server_failure"
    """The name's servers answered with an error."""
    TIMEOUT = "timeout"
    TAKEN = "taken"
    """The record is right, and so are those of another domain that was there before."""


INCONCLUSIVE = frozenset({Fault.SERVER_FAILURE, Fault.TIMEOUT})
"""They say nothing about the records, so nobody loses an active domain by them."""


class RecordProblem(msgspec.Struct, frozen=True, kw_only=True):
    """One record that is not what it has to be."""

    fault: Fault
    type: str
    name: str
    expected: tuple[str, ...]
    found: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """What is wrong, for a person."""
        record, wanted = f"{self.type} record of {self.name}", " or ".join(self.expected)
        match self.fault:
            case Fault.MISSING:
                return f"There is no {record}; it has to be {wanted}."
            case Fault.WRONG:
                return f"The {record} is {', '.join(self.found)}; it has to be {wanted}."
            case Fault.NO_SUCH_NAME:
                return (
                    f"DNS has no name {self.name} (NXDOMAIN); its {self.type} has to be {wanted}."
                )
            case Fault.SERVER_FAILURE:
                return f"The DNS servers of {self.name} answer {self.type} with an error."
            case Fault.TIMEOUT:
                return f"The DNS servers of {self.name} did not answer {self.type} in time."
            case Fault.TAKEN:
                return (
                    f"The {record} is right, but the name still belongs to another deployment:"
                    f" take the other values away from it."
                )


def words_of(problems: Iterable[RecordProblem]) -> str:
    """Return everything that is wrong, for a person."""
    return " ".join(problem.words for problem in problems)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What DNS said to one question."""

    values: tuple[str, ...] = ()
    fault: Fault | None = None


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen in DNS of one name."""

    aliases: Answer
    """The names that the CNAMEs lead to, one after the other."""
    addresses: Answer
    texts: Answer
    """Of the name with the proof."""


class DnsRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record to be made."""

    type: str
    name: str
    value: str
    proves_ownership: bool
    required: bool
    """False: for a name that cannot have a CNAME, in its place."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where the traffic of domains has to come."""

    apps_domain: str
    addresses: tuple[str, ...] = ()
    """The gateway's addresses, for names that cannot have a CNAME."""

    def host_of(self, app_name: str) -> str:
        """Return the name under which an app answers without any custom domain."""
        return f"{app_name}.{self.apps_domain}"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What DNS has to say about a domain."""

    name: str
    token: str
    host: str
    """What the CNAME has to lead to."""
    addresses: tuple[str, ...] = ()

    @property
    def proof_name(self) -> str:
        """Where the TXT record is."""
        return f"{PROOF_LABEL}.{self.name}"

    @property
    def proof(self) -> str:
        """What the TXT record says."""
        return PROOF_PREFIX + self.token

    def records(self) -> tuple[DnsRecord, ...]:
        """Return the records to be made."""
        proof = DnsRecord(
            type="TXT",
            name=self.proof_name,
            value=self.proof,
            proves_ownership=True,
            required=True,
        )
        alias = DnsRecord(
            type="CNAME", name=self.name, value=self.host, proves_ownership=False, required=True
        )
        direct = (
            DnsRecord(
                type=_address_type(address),
                name=self.name,
                value=address,
                proves_ownership=False,
                required=False,
            )
            for address in self.addresses
        )
        return (alias, proof, *direct)

    def problems(self, seen: Sighting) -> tuple[RecordProblem, ...]:
        """Return what is wrong with what was seen; nothing when all is as wanted."""
        found = (self._routing_problem(seen), self._proof_problem(seen))
        return tuple(problem for problem in found if problem is not None)

    def taken(self) -> RecordProblem:
        """Return what is wrong when another domain's records are right as well."""
        return RecordProblem(
            fault=Fault.TAKEN, type="TXT", name=self.proof_name, expected=(self.proof,)
        )

    def _routing_problem(self, seen: Sighting) -> RecordProblem | None:
        if self.host in seen.aliases.values:
            return None
        addresses = set(seen.addresses.values)
        if addresses and addresses <= set(self.addresses):
            return None
        asked = [seen.aliases, *([seen.addresses] if self.addresses else [])]
        # Without an answer, nothing can be said about the values of the others.
        unanswered = [each.fault for each in asked if each.fault in INCONCLUSIVE]
        values = seen.aliases.values or seen.addresses.values
        fault = seen.aliases.fault or seen.addresses.fault or Fault.MISSING
        if values:
            fault = Fault.WRONG
        if unanswered:
            fault = unanswered[0] or fault
        return RecordProblem(
            fault=fault,
            type="CNAME",
            name=self.name,
            expected=(self.host, *self.addresses),
            found=_told(values),
        )

    def _proof_problem(self, seen: Sighting) -> RecordProblem | None:
        texts = seen.texts
        if self.proof in {text.strip('" ') for text in texts.values}:
            return None
        return RecordProblem(
            fault=texts.fault or (Fault.WRONG if texts.values else Fault.MISSING),
            type="TXT",
            name=self.proof_name,
            expected=(self.proof,),
            found=_told(texts.values),
        )


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """When records are looked at, and for how long they may be wrong."""

    first_seconds: float = 10.0
    """After the first check that failed; twice as long after each further one."""
    longest_seconds: float = 3600.0
    give_up_seconds: float = 7 * 86_400.0
    """So long a pending domain is tried."""
    recheck_seconds: float = 86_400.0
    """So often an active one is looked at."""
    grace_seconds: float = 3 * 86_400.0
    """So long an active one stays routed after its records are gone."""

    def retry(self, failures: int) -> timedelta:
        """Return the wait after so many failed checks in a row."""
        doubled: float = self.first_seconds * 2 ** min(max(failures - 1, 0), 30)
        return timedelta(seconds=min(doubled, self.longest_seconds))

    @property
    def soon(self) -> timedelta:
        """The wait between looks at an active domain that has a problem."""
        return timedelta(seconds=min(self.longest_seconds, self.recheck_seconds))

    @property
    def recheck(self) -> timedelta:
        """The wait between looks at an active domain that has none."""
        return timedelta(seconds=self.recheck_seconds)

    @property
    def grace(self) -> timedelta:
        """How long an active domain may be without its records."""
        return timedelta(seconds=self.grace_seconds)

    @property
    def give_up(self) -> timedelta:
        """How long a pending domain is tried."""
        return timedelta(seconds=self.give_up_seconds)


class InvalidDomain(RuleViolated):
    """A domain is a host name with at least two labels, such as `www.example.com`."""


class ReservedDomain(RuleViolated):
    """This name belongs to the platform itself."""


_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")


def domain_name(text: str, *, platform_hosts: Iterable[str]) -> str:
    """Return the name in the one form in which it is kept; raises `InvalidDomain` and the like."""
    name = _host_name(text)
    if any(name == host or name.endswith(f".{host}") for host in platform_hosts):
        raise ReservedDomain
    return name


def _host_name(text: str) -> str:
    if "*" in text:
        raise InvalidDomain("A wildcard cannot be added; add each name.")
    # The longest names leave no room for the one with the proof; DNS has none for longer ones.
    if len(text) > NAME_LENGTH_MAX or len(name := _encoded(text)) > NAME_LENGTH_MAX - PROOF_LENGTH:
        raise InvalidDomain(f"A domain has at most {NAME_LENGTH_MAX - PROOF_LENGTH} characters.")
    labels = name.split(".")
    if len(labels) < LABELS_MIN:
        raise InvalidDomain("A domain has at least two labels, as in 'example.com'.")
    if not all(labels):
        raise InvalidDomain
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        raise InvalidDomain("This is an address, not a name.")
    return name


def _encoded(text: str) -> str:
    if _is_address(text):
        raise InvalidDomain("This is an address, not a name.")
    try:
        return idna.encode(text.removesuffix("."), uts46=True, std3_rules=True).decode().lower()
    except (idna.IDNAError, UnicodeError):
        raise InvalidDomain(
            f"{text[:80]!r} is not a host name such as 'www.example.com'."
        ) from None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


def _address_type(address: str) -> str:
    return "AAAA" if ":" in address else "A"


def _told(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(value[:FOUND_LENGTH_MAX] for value in list(values)[:FOUND_MAX])
