"""What is said about deployments, in and out."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from api.lists import Pagination, TeamPageQuery
from api.schemas import Input, Integer, Output, Text, checked, identifier
from domain.deployments import values
from domain.kernel.errors import RuleViolated
from projections.deployments import DeploymentRow
from projections.revisions import RevisionRow

DeploymentId = Annotated[str, identifier("dpl")]
StatusName = Literal[
    "pending",
    "running",
    "updating",
    "scaling",
    "stopping",
    "stopped",
    "starting",
    "failed",
    "deleting",
]
MASK = "********"


Cpu = Annotated[str, checked(values.cpu_millis), Field(examples=["100m"])]
Memory = Annotated[str, checked(values.memory_bytes), Field(examples=["128Mi"])]
Pids = Annotated[Integer, Field(ge=values.PIDS_RANGE[0], le=values.PIDS_RANGE[1])]


class ResourcesIn(Input):
    """What one replica may use."""

    cpu: Cpu = "500m"
    memory: Memory = "256Mi"
    storage: Annotated[str | None, Field(max_length=20, examples=["64Mi"])] = None
    """Room for files in /tmp and in what the image declares as a VOLUME, each. It lies in memory,
    is at most half of it and is gone with the replica; 64Mi unless that is too much."""
    pids: Pids = values.Resources().pids
    """How many processes and threads, together. The kernel holds a container to it; where replicas
    are processes of the platform's own machine, without Docker, nothing does."""

    @model_validator(mode="after")
    def _can_be_given(self) -> Self:
        try:
            self.value()
        except RuleViolated as error:
            raise ValueError(error.message) from error
        return self

    def value(self) -> values.Resources:
        """Return what the domain calls it."""
        memory = values.memory_bytes(self.memory)
        return values.Resources(
            cpu_millis=values.cpu_millis(self.cpu),
            memory_bytes=memory,
            storage_bytes=values.storage_bytes(self.storage, memory=memory),
            pids=values.pids(self.pids),
        )


class HealthCheckIn(Input):
    """How to tell that a replica can take requests."""

    type: values.HealthKind | None = None
    """http: a GET is answered with 2xx. tcp: the port opens. command: a program in the replica ends
    with 0. image: so does the program that the image names (HEALTHCHECK). Without it: what the
    other fields are for, else tcp."""
    path: Annotated[str, checked(values.health_path), Field(max_length=512)] | None = None
    """For http."""
    command: Annotated[tuple[str, ...] | None, Field(max_length=values.ARGUMENTS_MAX)] = None
    """For command: the program and its arguments. No shell reads them."""
    initial_delay_seconds: Annotated[Integer, Field(ge=0, le=3600)] = 0
    period_seconds: Annotated[Integer, Field(ge=1, le=3600)] = 5
    timeout_seconds: Annotated[Integer, Field(ge=1, le=300)] = 2
    failure_threshold: Annotated[Integer, Field(ge=1, le=100)] = 3
    """So many failures in a row make a replica unhealthy: it gets no requests."""
    success_threshold: Annotated[Integer, Field(ge=1, le=100)] = 1
    """So many successes in a row make it ready."""

    @model_validator(mode="after")
    def _can_be_carried_out(self) -> Self:
        try:
            values.health_check(self.value())
        except RuleViolated as error:
            raise ValueError(error.message) from error
        return self

    def value(self) -> values.HealthCheck:
        """Return what the domain calls it."""
        return values.HealthCheck(
            kind=self.type or self._kind_meant(),
            path=self.path or "",
            command=self.command or (),
            initial_delay_seconds=self.initial_delay_seconds,
            period_seconds=self.period_seconds,
            timeout_seconds=self.timeout_seconds,
            failure_threshold=self.failure_threshold,
            success_threshold=self.success_threshold,
        )

    def _kind_meant(self) -> values.HealthKind:
        if self.path is not None:
            return "http"
        return "command" if self.command is not None else "tcp"


class RegistryAuthIn(Input):
    """How to sign in to a private registry."""

    username: Annotated[str, Field(min_length=1, max_length=256)]
    password: Annotated[str, Field(min_length=1, max_length=8192)]


class NewDeployment(Input):
    """A deployment to be made."""

    app_name: Annotated[str, Field(max_length=100)]
    image: Annotated[str, Field(max_length=300)]
    port: Annotated[Integer, Field(ge=1, le=65535)]
    env_vars: dict[str, str] = {}
    replicas: Annotated[Integer, Field(ge=0)] = 1
    resources: ResourcesIn = ResourcesIn()
    health_check: HealthCheckIn | None = None
    registry_auth: RegistryAuthIn | None = None
    visibility: Literal["private", "public"] = "private"
    team_id: Annotated[str | None, Field(max_length=40)] = None


class Scale(Input):
    """Another number of replicas."""

    replicas: Annotated[Integer, Field(ge=0)]


class Update(Input):
    """What shall be otherwise. What is not given stays as it is."""

    image: Annotated[str | None, Field(max_length=300)] = None
    port: Annotated[Integer | None, Field(ge=1, le=65535)] = None
    env_vars: dict[str, str] | None = None
    """All variables anew."""
    env_var_changes: dict[str, str | None] = {}
    """Single variables anew, null taking one out; all others stay as they are."""
    replicas: Annotated[Integer | None, Field(ge=0)] = None
    resources: ResourcesIn | None = None
    health_check: HealthCheckIn | None = None
    """null takes the check away: then an open port is enough."""
    registry_auth: RegistryAuthIn | None = None
    visibility: Literal["private", "public"] | None = None


class RollBack(Input):
    """To which revision."""

    revision: Annotated[Integer | None, Field(ge=1)] = None
    """The last one that was live, unless given."""


class DeploymentQuery(TeamPageQuery):
    """Which deployments."""

    status: StatusName | None = None
    app_name: Annotated[Text | None, Field(max_length=100)] = None
    """The one of this name."""


class AsOf(Input):
    """When one looks."""

    as_of: Annotated[Text | None, Field(max_length=40)] = None
    """A time or a position of the log: show it as it was then."""


class Requested(Output):
    """A deployment that was asked for."""

    id: str
    app_name: str
    image: str
    status: str
    url: str
    created_at: datetime
    message: str


class Summary(Output):
    """A deployment in a list."""

    id: str
    app_name: str
    image: str
    status: str
    url: str
    replicas: int
    created_at: datetime
    updated_at: datetime


class Summaries(Output):
    """A part of the list of deployments."""

    deployments: list[Summary]
    pagination: Pagination


class ResourcesOut(Output):
    """What one replica may use."""

    cpu: str
    memory: str
    storage: str
    pids: int
    """Processes and threads; only a container is held to it."""


class HealthCheckOut(Output):
    """How it is told that a replica can take requests."""

    type: values.HealthKind
    path: str | None
    command: tuple[str, ...] | None
    initial_delay_seconds: int
    period_seconds: int
    timeout_seconds: int
    failure_threshold: int
    success_threshold: int


class DeploymentOut(Output):
    """A deployment."""

    id: str
    team_id: str
    app_name: str
    image: str
    status: str
    failure: str | None
    """Why it failed, if it did."""
    url: str
    port: int
    replicas: int
    revision: int
    live_revision: int | None
    """The one that serves, until a newer one does."""
    image_digest: str | None
    env_vars: dict[str, str]
    """The names; every value is masked."""
    resources: ResourcesOut
    health_check: HealthCheckOut | None
    visibility: str
    created_at: datetime
    updated_at: datetime
    deployed_at: datetime | None


class Transfer(Input):
    """Whose it shall be."""

    team_id: Annotated[str, Field(max_length=40)]


class Changed(Output):
    """A deployment after a change was asked for."""

    id: str
    status: str
    replicas: int
    revision: int
    message: str
    updated_at: datetime


class RevisionOut(Output):
    """One revision of a deployment."""

    id: str
    revision: int
    cause: Literal["created", "updated", "restarted", "rolled back", "transferred"]
    status: Literal["pending", "live", "superseded", "failed"]
    image: str
    image_digest: str | None
    requested_by: str
    requested_at: datetime
    copied_from: int | None
    live_at: datetime | None
    ended_at: datetime | None
    failure: str | None
    """Why it failed, if it did, with the last lines that it wrote."""


class Revisions(Output):
    """A part of the list of revisions, newest first."""

    revisions: list[RevisionOut]
    pagination: Pagination


def url_of(gateway_url: str, app_name: str) -> str:
    """Return where a deployment can be called."""
    scheme, _, rest = gateway_url.partition("://")
    return f"{scheme}://{app_name}.{rest}"


def revision_of(row: RevisionRow) -> RevisionOut:
    """Return a revision as it is shown."""
    return RevisionOut(
        id=values.revision_id(row.deployment_id, row.number),
        revision=row.number,
        cause=row.cause,
        status=row.status,
        image=row.image,
        image_digest=row.image_digest,
        requested_by=row.requested_by,
        requested_at=row.requested_at,
        copied_from=row.copied_from,
        live_at=row.live_at,
        ended_at=row.ended_at,
        failure=row.failure,
    )


def summary_of(row: DeploymentRow, gateway_url: str) -> Summary:
    """Return a deployment as lists show it."""
    return Summary(
        id=row.id,
        app_name=row.app_name,
        image=row.image,
        status=row.status,
        url=url_of(gateway_url, row.app_name),
        replicas=row.replicas,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def deployment_of(row: DeploymentRow, gateway_url: str) -> DeploymentOut:
    """Return a deployment as it is shown."""
    check = row.health_check
    return DeploymentOut(
        id=row.id,
        team_id=row.team_id,
        app_name=row.app_name,
        image=row.image,
        status=row.status,
        failure=row.failure,
        url=url_of(gateway_url, row.app_name),
        port=row.port,
        replicas=row.replicas,
        revision=row.revision,
        live_revision=row.live_revision,
        image_digest=row.image_digest,
        env_vars=dict.fromkeys(row.environment_names, MASK),
        resources=ResourcesOut(
            cpu=values.cpu_text(row.resources.cpu_millis),
            memory=values.memory_text(row.resources.memory_bytes),
            storage=values.memory_text(row.resources.storage_bytes),
            pids=row.resources.pids,
        ),
        health_check=_health_check_of(check) if check is not None else None,
        visibility=row.visibility,
        created_at=row.created_at,
        updated_at=row.updated_at,
        deployed_at=row.deployed_at,
    )


def _health_check_of(check: values.HealthCheck) -> HealthCheckOut:
    return HealthCheckOut(
        type=check.kind,
        path=check.path or None,
        command=check.command or None,
        initial_delay_seconds=check.initial_delay_seconds,
        period_seconds=check.period_seconds,
        timeout_seconds=check.timeout_seconds,
        failure_threshold=check.failure_threshold,
        success_threshold=check.success_threshold,
    )
