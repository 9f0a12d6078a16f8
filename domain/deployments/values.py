"""The words of a deployment: its status, its wishes, and what is seen of its replicas."""

import hashlib
import re
from datetime import datetime
from enum import StrEnum
from typing import Literal

import msgspec

from domain.kernel.errors import RuleViolated
from domain.kernel.events import SealedText
from domain.kernel.ids import ALPHABET, LENGTH

Visibility = Literal["private", "public"]


class Status(StrEnum):
    """Where a deployment stands, as its owner sees it."""

    PENDING = "pending"
    RUNNING = "running"
    UPDATING = "updating"
    SCALING = "scaling"
    STOPPING = "stopping"
    STOPPED = "stopped"
    STARTING = "starting"
    FAILED = "failed"
    DELETING = "deleting"
    DELETED = "deleted"


class ReplicaPhase(StrEnum):
    """Where one replica stands, as the provisioner sees it."""

    STARTING = "starting"
    READY = "ready"
    UNHEALTHY = "unhealthy"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"


class Resources(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one replica may use. What is as by default is not stored: these numbers stay."""

    cpu_millis: int = 500
    """Thousandths of a processor core."""
    memory_bytes: int = 256 * 1024**2
    storage_bytes: int = 64 * 1024**2
    """Room for files, which lie in memory and are gone with the replica."""
    pids: int = 256
    """Processes and threads together, in a container."""


HealthKind = Literal["http", "tcp", "command", "image"]


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """What one deployment takes of its team's quota: all its replicas together."""

    replicas: int = 0
    cpu_millis: int = 0
    memory_bytes: int = 0


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """What a team may run at once, where nothing else is said about it."""

    deployments: int = 50
    replicas: int = 100
    cpu_millis: int = 64_000
    memory_bytes: int = 64 * 1024**3


class HealthCheck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How to tell that a replica can take requests."""

    kind: HealthKind = "http"
    """A GET that is answered with 2xx, a connection to the port, a command in the replica that ends
    with 0, or the command that the image itself names for this (HEALTHCHECK)."""
    path: str = ""
    command: tuple[str, ...] = ()
    initial_delay_seconds: int = 0
    period_seconds: int = 5
    timeout_seconds: int = 2
    failure_threshold: int = 3
    success_threshold: int = 1


class RegistryAuth(msgspec.Struct, frozen=True, kw_only=True):
    """How to sign in to a private registry."""

    username: str
    password: SealedText


class Blueprint(msgspec.Struct, frozen=True, kw_only=True):
    """What a revision is made of: whatever changes here needs new replicas."""

    image: str
    image_digest: str | None = None
    """What the tag meant when the revision was made; None where only the engine could tell."""
    port: int
    environment: dict[str, SealedText] = {}
    resources: Resources = Resources()
    health_check: HealthCheck | None = None
    registry_auth: RegistryAuth | None = None


class ReplicaReport(msgspec.Struct, frozen=True, kw_only=True):
    """One replica as the provisioner found it."""

    replica_id: str
    revision: int
    phase: ReplicaPhase
    address: str | None = None
    port: int | None = None
    started_at: datetime | None = None
    restarts: int = 0
    exit_code: int | None = None
    reason: str | None = None
    image_digest: str | None = None


def revision_id(deployment_id: str, number: int) -> str:
    """Return a revision's id: the same for the same number of the same deployment."""
    digest = int.from_bytes(hashlib.sha256(f"{deployment_id}:{number}".encode()).digest()[:8])
    letters = ""
    for _ in range(LENGTH):
        digest, at = divmod(digest, len(ALPHABET))
        letters += ALPHABET[at]
    return f"rev-{letters}"


class InvalidAppName(RuleViolated):
    """An app name has 3 to 40 characters: a-z, 0-9 and single hyphens, a letter first."""


class InvalidImage(RuleViolated):
    """This is not an image reference."""


class InvalidQuantity(RuleViolated):
    """This is not an amount of processor, memory, storage or processes."""


class InvalidEnvironment(RuleViolated):
    """This environment variable is refused."""


class InvalidHealthPath(RuleViolated):
    """A health path begins with one slash and has only path characters."""


class InvalidHealthCheck(RuleViolated):
    """This health check cannot be carried out."""


_APP_NAME = re.compile(r"[a-z](?:-?[a-z0-9]){2,39}")
RESERVED_APP_NAMES = frozenset(
    {"admin", "api", "apps", "dashboard", "gateway", "health", "localhost", "metrics", "www"}
)


def app_name(text: str) -> str:
    """Return the app name; raises `InvalidAppName`."""
    if _APP_NAME.fullmatch(text) is None or len(text) > 40:  # noqa: PLR2004 - the docstring above
        raise InvalidAppName
    if text in RESERVED_APP_NAMES:
        raise InvalidAppName("This app name is reserved.")
    return text


# The grammar of the distribution project's reference.go: [domain[:port]/]path[:tag][@digest].
_IMAGE = re.compile(
    r"(?:(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
    r"(?::[0-9]{1,5})?/)?"
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?"
    r"(?:@sha256:[0-9a-f]{64})?"
)
IMAGE_LENGTH_MAX = 255


def image(text: str) -> str:
    """Return the image reference; raises `InvalidImage`."""
    if len(text) > IMAGE_LENGTH_MAX or _IMAGE.fullmatch(text) is None:
        raise InvalidImage(f"{text[:80]!r} is not an image reference like 'ghcr.io/you/api:1.2'.")
    return text


_CPU_MILLIS = re.compile(r"([0-9]{1,6})m")
_CPU_CORES = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,3}))?")
_MEMORY = re.compile(r"([0-9]{1,6})(Ki|Mi|Gi)")
_MEMORY_UNITS = {"Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}
CPU_MILLIS_RANGE = (10, 64_000)
MEMORY_RANGE = (8 * 1024**2, 256 * 1024**3)
STORAGE_RANGE = (1024**2, 10 * 1024**3)
PIDS_RANGE = (16, 4096)
STORAGE_SHARE = 2
"""Storage is at most memory divided by this: full storage must not mean that memory is over."""


def any_cpu_millis(text: str) -> int:
    """Return thousandths of a core from '100m' or '0.5'; raises `InvalidQuantity`."""
    if match := _CPU_MILLIS.fullmatch(text):
        return int(match[1])
    if match := _CPU_CORES.fullmatch(text):
        return int(match[1]) * 1000 + int((match[2] or "0").ljust(3, "0"))
    raise InvalidQuantity(f"{text[:20]!r} is not an amount of processor like '100m' or '0.5'.")


def cpu_millis(text: str) -> int:
    """Return what one replica may have of a processor; raises `InvalidQuantity`."""
    millis = any_cpu_millis(text)
    low, high = CPU_MILLIS_RANGE
    if not low <= millis <= high:
        raise InvalidQuantity(f"Processor must be between {low}m and {high}m.")
    return millis


def any_memory_bytes(text: str) -> int:
    """Return bytes from '128Mi'; raises `InvalidQuantity`."""
    match = _MEMORY.fullmatch(text)
    if match is None:
        raise InvalidQuantity(f"{text[:20]!r} is not an amount of memory like '128Mi' or '1Gi'.")
    return int(match[1]) * _MEMORY_UNITS[match[2]]


def memory_bytes(text: str) -> int:
    """Return how much memory one replica may have; raises `InvalidQuantity`."""
    size = any_memory_bytes(text)
    low, high = MEMORY_RANGE
    if not low <= size <= high:
        raise InvalidQuantity(f"Memory must be between {low >> 20}Mi and {high >> 30}Gi.")
    return size


def storage_bytes(text: str | None, *, memory: int) -> int:
    """Return bytes from '64Mi', or what is usual beside so much memory."""
    most = memory // STORAGE_SHARE
    if text is None:
        return min(Resources().storage_bytes, most & ~1023)
    size = any_memory_bytes(text)
    low, high = STORAGE_RANGE
    if not low <= size <= high:
        raise InvalidQuantity(f"Storage must be between {low >> 20}Mi and {high >> 30}Gi.")
    if size > most:
        raise InvalidQuantity("Storage lies in memory: it can be half of the memory at most.")
    return size


def pids(count: int) -> int:
    """Return how many processes and threads one replica may have; raises `InvalidQuantity`."""
    low, high = PIDS_RANGE
    if not low <= count <= high:
        raise InvalidQuantity(f"Processes and threads must be between {low} and {high}.")
    return count


def cpu_text(millis: int) -> str:
    """Return thousandths of a core as they are written."""
    return f"{millis}m"


def memory_text(size: int) -> str:
    """Return bytes in the largest unit that divides them."""
    for unit in ("Gi", "Mi"):
        if size % _MEMORY_UNITS[unit] == 0:
            return f"{size // _MEMORY_UNITS[unit]}{unit}"
    return f"{size // 1024}Ki"


_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_DANGEROUS_VARIABLES = frozenset(
    {
        "PATH",
        "PORT",
        "HOME",
        "HOSTNAME",
        "SHELL",
        "IFS",
        "ENV",
        "BASH_ENV",
        "PYTHONSTARTUP",
        "PYTHONHOME",
        "PYTHONPATH",
        "PYTHONINSPECT",
        "NODE_OPTIONS",
        "NODE_PATH",
        "RUBYOPT",
        "RUBYLIB",
        "PERL5OPT",
        "PERL5LIB",
        "JAVA_TOOL_OPTIONS",
        "GCONV_PATH",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
    }
)
_DANGEROUS_PREFIXES = ("LD_", "DYLD_", "DOCKER_", "TALLYPORT_", "GLIBC_", "MALLOC_")
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""NUL, and halves of characters: no process can be given them."""
VARIABLES_MAX = 200
VARIABLE_BYTES_MAX = 32 * 1024
ENVIRONMENT_BYTES_MAX = 128 * 1024


def environment(variables: dict[str, str]) -> dict[str, str]:
    """Return the variables; raises `InvalidEnvironment` naming the first one refused."""
    if len(variables) > VARIABLES_MAX:
        raise InvalidEnvironment(f"At most {VARIABLES_MAX} variables.")
    total = 0
    for name, value in variables.items():
        if _VARIABLE.fullmatch(name) is None:
            raise InvalidEnvironment(
                f"{name[:40]!r} is not a variable name: letters, digits and _, no digit first."
            )
        upper = name.upper()
        if upper in _DANGEROUS_VARIABLES or upper.startswith(_DANGEROUS_PREFIXES):
            raise InvalidEnvironment(f"{name} is reserved: it could change how the image starts.")
        size = len(value.encode("utf-8", "replace"))
        if _NO_TEXT.search(value) or size > VARIABLE_BYTES_MAX:
            raise InvalidEnvironment(f"The value of {name} is too long, or has a NUL character.")
        total += len(name) + size
    if total > ENVIRONMENT_BYTES_MAX:
        raise InvalidEnvironment(f"All variables together: at most {ENVIRONMENT_BYTES_MAX} bytes.")
    return variables


_HEALTH_PATH = re.compile(r"/(?!/)[A-Za-z0-9._~!$&'()*+,;=:@/%?-]{0,511}")


def health_path(text: str) -> str:
    """Return the path; raises `InvalidHealthPath`."""
    if _HEALTH_PATH.fullmatch(text) is None or "@" in text.split("?", 1)[0]:
        raise InvalidHealthPath
    return text


ARGUMENTS_MAX = 64
ARGUMENT_BYTES_MAX = 4096
COMMAND_BYTES_MAX = 16 * 1024


def health_check(check: HealthCheck) -> HealthCheck:
    """Return the check; raises `InvalidHealthCheck` or `InvalidHealthPath`."""
    if check.path and check.kind != "http":
        raise InvalidHealthCheck("Only a health check of type http has a path.")
    if check.command and check.kind != "command":
        raise InvalidHealthCheck("Only a health check of type command has a command.")
    if check.kind == "http":
        health_path(check.path)
    if check.kind == "command":
        _must_be_a_command(check.command)
    return check


def _must_be_a_command(command: tuple[str, ...]) -> None:
    """Refuse what no program can be started with. No shell reads it, so nothing else is special."""
    if not command or not command[0]:
        raise InvalidHealthCheck("A health check of type command needs a program to run.")
    sizes = [len(argument.encode("utf-8", "replace")) for argument in command]
    if (
        len(command) > ARGUMENTS_MAX
        or max(sizes) > ARGUMENT_BYTES_MAX
        or sum(sizes) > COMMAND_BYTES_MAX
    ):
        raise InvalidHealthCheck("The command is too long.")
    if any(_NO_TEXT.search(argument) for argument in command):
        raise InvalidHealthCheck("The command has a NUL character.")
