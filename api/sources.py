"""Code that is uploaded instead of an image.

The answer names the code in the place of an image; whoever creates or changes a deployment sends
that name as its `image`. So code has revisions and rollbacks as images have, and bodies of JSON
stay what they are.
"""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.answers import answer
from api.bodies import check_archive_type
from api.guard import UPLOAD, GuardedRoute
from api.openapi import refusals
from api.requests import Writing
from api.schemas import Output, TeamQuery
from infrastructure.sources import Runtime
from projections.revisions import sources_in_use

router = APIRouter(route_class=GuardedRoute, prefix="/v1/sources", tags=["Deployments"])


class SourceQuery(TeamQuery):
    """Whose code, and what runs it."""

    runtime: Runtime | None = None
    """Found out from the names of the files unless given."""


class SourceOut(Output):
    """Code that was taken in."""

    image: str
    """What to send as a deployment's `image`."""
    runtime: Runtime
    files: int
    stored_bytes: int
    """What it takes, compressed."""


@router.post(
    "",
    status_code=201,
    response_model=SourceOut,
    responses=refusals(401, 403, 404, 413, 415),
    openapi_extra=UPLOAD,
)
async def upload(query: Annotated[SourceQuery, Query()], write: Writing) -> Response:
    """Take in code as a zip or tar.gz archive. It is built when a deployment wants it."""
    team_id = write.team_id("deployments:write", named=query.team_id)
    check_archive_type(write.request)
    kept = await write.services.sources.keep(
        write.request.stream(),
        team_id=team_id,
        runtime=query.runtime,
        used=await sources_in_use(write.views),
    )
    return answer(
        SourceOut(
            image=str(kept.reference),
            runtime=kept.reference.runtime,
            files=kept.files,
            stored_bytes=kept.stored_bytes,
        ),
        status=201,
    ).response()
