"""Finds a deployment for somebody who may see it."""

from api.requests import Read
from domain.kernel.errors import NotFound
from domain.kernel.ids import is_id
from projections.deployments import DeploymentRow, deployment_by_id


async def their_deployment(read: Read, deployment_id: str, scope: str) -> DeploymentRow:
    """Return the deployment; `NotFound` for another team's, `NotAllowed` without the scope."""
    row = None
    if is_id(deployment_id, "dpl"):
        row = await deployment_by_id(read.views, deployment_id, team_ids=read.seen_teams)
    if row is None:
        raise NotFound
    read.must_hold(scope, team_id=row.team_id)
    return row
