"""The facts of a custom domain's life, in the order they happen."""

from datetime import datetime

from domain.custom_domains.values import DomainStatus, RecordProblem
from domain.kernel.events import Event


class DomainAdded(Event, frozen=True, kw_only=True):
    """Somebody wants a deployment to answer under this name."""

    domain_id: str
    deployment_id: str
    team_id: str
    name: str
    """In lower case, without a dot at its end; other scripts as A-labels (`xn--...`)."""
    token: str
    """What the TXT record has to say. Not a secret: DNS tells it to everybody."""
    added_by: str
    added_at: datetime


class DomainCheckRequested(Event, frozen=True, kw_only=True):
    """Somebody wants the records to be looked at now; for a failed domain all begins anew."""

    requested_by: str
    requested_at: datetime


class DomainVerified(Event, frozen=True, kw_only=True):
    """All records are right: the name is the team's, and it is routed from now on."""

    name: str
    deployment_id: str
    previously: DomainStatus
    verified_at: datetime
    next_check_at: datetime


class DomainCheckPassed(Event, frozen=True, kw_only=True):
    """The records of an active domain are still right, or right again."""

    checked_at: datetime
    next_check_at: datetime


class DomainCheckFailed(Event, frozen=True, kw_only=True):
    """A record is not what it has to be; it will be looked at again."""

    name: str
    deployment_id: str
    problems: tuple[RecordProblem, ...]
    checked_at: datetime
    next_check_at: datetime
    routed_until: datetime | None = None
    """Of an active domain whose records are gone: when it fails unless they come back."""
    status: DomainStatus = DomainStatus.PENDING
    recurring: bool = False
    """The check before found the same: nobody has to be told again."""


class DomainFailed(Event, frozen=True, kw_only=True):
    """It is not tried any more, and not routed any more if it was."""

    name: str
    deployment_id: str
    previously: DomainStatus
    problems: tuple[RecordProblem, ...]
    failed_at: datetime
    displaced: bool = False
    """Another domain has the name now: its records are in DNS, and these are not."""


class DomainTransferred(Event, frozen=True, kw_only=True):
    """It went along with its deployment to another team."""

    team_id: str
    from_team_id: str


class DomainMoved(Event, frozen=True, kw_only=True):
    """It leads to another deployment of the team from now on, and is looked at anew."""

    name: str
    deployment_id: str
    from_deployment_id: str
    moved_by: str
    moved_at: datetime


class DomainRemoved(Event, frozen=True, kw_only=True):
    """It is gone, by somebody's wish or with its deployment. Its name is free."""

    name: str
    deployment_id: str
    previously: DomainStatus
    removed_by: str
