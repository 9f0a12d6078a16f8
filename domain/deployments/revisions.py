"""What each revision was made of, as the history of its deployment tells it."""

import msgspec

from domain.deployments.events import (
    DeploymentRequested,
    DeploymentRestarted,
    DeploymentRolledBack,
    DeploymentTransferred,
    DeploymentUpdated,
)
from domain.deployments.values import Blueprint
from domain.kernel.events import Event


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """One revision: its number, and what it is made of."""

    number: int
    blueprint: Blueprint


def revision_after(event: Event, before: Revision | None) -> Revision | None:
    """Return the revision that is wanted after the event, where `before` was wanted before it."""
    match event:
        case DeploymentRequested():
            return Revision(number=1, blueprint=blueprint_of(event))
        case DeploymentUpdated() | DeploymentRolledBack() | DeploymentTransferred():
            return Revision(number=event.revision, blueprint=event.blueprint)
        case DeploymentRestarted() if before is not None:
            return Revision(number=event.revision, blueprint=before.blueprint)
        case _:
            return before


def blueprint_of(event: DeploymentRequested) -> Blueprint:
    """Return what the first revision is made of."""
    return Blueprint(
        image=event.image,
        image_digest=event.image_digest,
        port=event.port,
        environment=event.environment,
        resources=event.resources,
        health_check=event.health_check,
        registry_auth=event.registry_auth,
    )
