"""The routes of deployments."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from api.answers import Answer, answer, respond
from api.deployments.finding import their_deployment
from api.deployments.shapes import (
    AsOf,
    Changed,
    DeploymentId,
    DeploymentOut,
    DeploymentQuery,
    NewDeployment,
    RegistryAuthIn,
    Requested,
    Revisions,
    RollBack,
    Scale,
    Summaries,
    Transfer,
    Update,
    deployment_of,
    revision_of,
    summary_of,
    url_of,
)
from api.deployments.status import StatusOut, status_of
from api.errors import InvalidValue
from api.guard import GuardedRoute
from api.lists import PageQuery, pagination_of, sorted_by, window_of
from api.moments import position_or_moment
from api.openapi import refusals
from api.requests import POSITION_HEADER, Read, Write, Writing, etag, reading
from api.schemas import Message
from commands.deployments import Changed as Done
from commands.deployments import (
    DeleteDeployment,
    RequestDeployment,
    RestartDeployment,
    RollBackDeployment,
    ScaleDeployment,
    StartDeployment,
    StopDeployment,
    TransferDeployment,
    UpdateDeployment,
)
from domain.deployments import values
from domain.deployments.values import HealthCheck, Status
from domain.kernel.errors import NotFound
from domain.kernel.ids import is_id
from infrastructure.sources import UnknownSource, source_of
from projections.deployments import (
    DEPLOYMENT_LISTING,
    DeploymentRow,
    as_of,
    deployment_by_id,
    is_there,
    list_deployments,
)
from projections.health_looks import health_looked_at
from projections.reading import ViewBehind
from projections.revisions import REVISION_LISTING, list_revisions

router = APIRouter(route_class=GuardedRoute, prefix="/v1/deployments", tags=["Deployments"])

DELETION_POLL_SECONDS = 0.1
ACCEPTED = 202
CHANGING = refusals(401, 403, 404, 412)
SHOWING = refusals(401, 403, 404)

Reading = Annotated[Read, reading("deployments")]


@router.post("", status_code=201, response_model=Requested, responses=refusals(401, 403, 404, 409))
async def request(body: NewDeployment, write: Writing) -> Response:
    """Run an image under a name. It is live when its status is `running`."""

    def made(done: Done) -> Answer:
        return answer(
            Requested(
                id=done.deployment_id,
                app_name=done.app_name,
                image=done.image,
                status=done.status,
                url=url_of(write.options.gateway_url, done.app_name),
                created_at=done.at,
                message="Deployment requested",
            ),
            status=201,
            headers={"Location": f"/v1/deployments/{done.deployment_id}"},
        )

    auth = body.registry_auth
    team_id = write.team_id("deployments:write", named=body.team_id)
    image_digest = await _digest_of(write, body.image, auth, team_ids=(team_id,))
    command = RequestDeployment(
        team_id=team_id,
        app_name=body.app_name,
        image=body.image,
        image_digest=image_digest,
        port=body.port,
        environment=body.env_vars,
        replicas=body.replicas,
        resources=body.resources.value(),
        health_check=body.health_check.value() if body.health_check is not None else None,
        registry_username=auth.username if auth is not None else None,
        registry_password=auth.password if auth is not None else None,
        visibility=body.visibility,
        quota=write.options.quota,
    )
    return await write.dispatch(command, made)


@router.get(
    "",
    response_model=Summaries,
    responses=refusals(401, 403),
    openapi_extra=sorted_by(DEPLOYMENT_LISTING),
)
async def list_all(query: Annotated[DeploymentQuery, Query()], read: Reading) -> Response:
    """List the deployments."""
    team_ids = read.team_ids("deployments:read", named=query.team_id)
    window = window_of(query, DEPLOYMENT_LISTING, "deployments", read.services)
    status = Status(query.status) if query.status is not None else None
    page = await list_deployments(
        read.views, window, team_ids=team_ids, status=status, app_name=query.app_name
    )
    return read.kept(
        respond(
            Summaries(
                deployments=[summary_of(row, read.options.gateway_url) for row in page.rows],
                pagination=pagination_of(page, window, query, "deployments", read.services),
            )
        )
    )


@router.get("/{deployment_id}", response_model=DeploymentOut, responses=SHOWING)
async def get(
    deployment_id: DeploymentId, query: Annotated[AsOf, Query()], read: Reading
) -> Response:
    """Show one deployment, as it is or as it was."""
    if query.as_of is not None:
        row = await _as_of(read, deployment_id, query.as_of)
        read.must_hold("deployments:read", team_id=row.team_id)
    else:
        row = await their_deployment(read, deployment_id, "deployments:read")
    shown = deployment_of(row, read.options.gateway_url)
    response = respond(shown, headers={"ETag": etag(row.version)})
    return response if query.as_of is not None else read.kept(response)


@router.get("/{deployment_id}/status", response_model=StatusOut, responses=SHOWING)
async def status(deployment_id: DeploymentId, read: Reading) -> Response:
    """Show how its containers are."""
    row = await their_deployment(read, deployment_id, "deployments:read")
    looked_at = await health_looked_at(read.views, row.id)
    shown = status_of(row, looked_at=looked_at, now=read.services.clock())
    return respond(shown, headers={"ETag": etag(row.version)})


@router.get(
    "/{deployment_id}/revisions",
    response_model=Revisions,
    responses=SHOWING,
    openapi_extra=sorted_by(REVISION_LISTING),
)
async def revisions(
    deployment_id: DeploymentId,
    query: Annotated[PageQuery, Query()],
    read: Annotated[Read, reading("deployments", "revisions")],
) -> Response:
    """List what ran, what runs and what failed to run, newest first."""
    row = await their_deployment(read, deployment_id, "deployments:read")
    name = f"revisions of {row.id}"
    window = window_of(query, REVISION_LISTING, name, read.services)
    page = await list_revisions(read.views, window, deployment_id=row.id)
    return respond(
        Revisions(
            revisions=[revision_of(each) for each in page.rows],
            pagination=pagination_of(page, window, query, name, read.services),
        )
    )


@router.put("/{deployment_id}", response_model=Changed, responses=CHANGING)
async def update(deployment_id: DeploymentId, body: Update, write: Writing) -> Response:
    """Run something else, or the same in another way, without an interruption."""
    if not body.model_fields_set:
        raise InvalidValue("Say at least one thing that shall be otherwise.")
    _must_be_an_id(deployment_id)
    auth = body.registry_auth
    health_check: HealthCheck | UnsetType | None = UNSET
    if "health_check" in body.model_fields_set:
        health_check = body.health_check.value() if body.health_check is not None else None
    image_digest = None
    if body.image is not None:
        team_ids = await _teams_of(write, deployment_id)
        image_digest = await _digest_of(write, body.image, auth, team_ids=team_ids)
    command = UpdateDeployment(
        deployment_id=deployment_id,
        image=body.image,
        image_digest=image_digest,
        port=body.port,
        environment=body.env_vars,
        environment_changes=body.env_var_changes,
        replicas=body.replicas,
        resources=body.resources.value() if body.resources is not None else None,
        health_check=health_check,
        registry_username=auth.username if auth is not None else None,
        registry_password=auth.password if auth is not None else None,
        visibility=body.visibility,
        quota=write.options.quota,
    )
    return await write.dispatch(
        command, _changed("Deployment is being updated"), resource=deployment_id
    )


@router.post("/{deployment_id}/restart", response_model=Changed, responses=CHANGING)
async def restart(deployment_id: DeploymentId, write: Writing) -> Response:
    """Replace all replicas, a few at a time."""
    _must_be_an_id(deployment_id)
    return await write.dispatch(
        RestartDeployment(deployment_id=deployment_id),
        _changed("Deployment is restarting"),
        resource=deployment_id,
    )


@router.post("/{deployment_id}/rollback", response_model=Changed, responses=CHANGING)
async def roll_back(
    deployment_id: DeploymentId, write: Writing, body: RollBack | None = None
) -> Response:
    """Run an earlier revision again."""
    _must_be_an_id(deployment_id)
    revision = body.revision if body is not None else None
    command = RollBackDeployment(
        deployment_id=deployment_id, revision=revision, quota=write.options.quota
    )
    return await write.dispatch(
        command, _changed("Deployment is being rolled back"), resource=deployment_id
    )


@router.post("/{deployment_id}/transfer", response_model=Changed, responses=CHANGING)
async def transfer(deployment_id: DeploymentId, body: Transfer, write: Writing) -> Response:
    """Give it to another team, in which one may deploy too. It runs anew there."""
    _must_be_an_id(deployment_id)
    command = TransferDeployment(
        deployment_id=deployment_id, team_id=body.team_id, quota=write.options.quota
    )
    return await write.dispatch(
        command, _changed("Deployment is being transferred"), resource=deployment_id
    )


@router.patch("/{deployment_id}/scale", response_model=Changed, responses=CHANGING)
async def scale(deployment_id: DeploymentId, body: Scale, write: Writing) -> Response:
    """Run another number of replicas."""
    _must_be_an_id(deployment_id)
    command = ScaleDeployment(
        deployment_id=deployment_id,
        replicas=body.replicas,
        quota=write.options.quota,
    )
    return await write.dispatch(
        command, _changed(f"Scaling to {body.replicas} replicas"), resource=deployment_id
    )


@router.post("/{deployment_id}/stop", response_model=Changed, responses=CHANGING)
async def stop(deployment_id: DeploymentId, write: Writing) -> Response:
    """Run nothing of it, but keep it."""
    _must_be_an_id(deployment_id)
    return await write.dispatch(
        StopDeployment(deployment_id=deployment_id),
        _changed("Deployment is stopping"),
        resource=deployment_id,
    )


@router.post("/{deployment_id}/start", response_model=Changed, responses=CHANGING)
async def start(deployment_id: DeploymentId, write: Writing) -> Response:
    """Run it again."""
    _must_be_an_id(deployment_id)
    return await write.dispatch(
        StartDeployment(deployment_id=deployment_id, quota=write.options.quota),
        _changed("Deployment is starting"),
        resource=deployment_id,
    )


@router.delete(
    "/{deployment_id}",
    response_model=Message,
    responses={**CHANGING, ACCEPTED: {"model": Message, "description": "It is still going."}},
)
async def delete(deployment_id: DeploymentId, write: Writing) -> Response:
    """Make it disappear: answered when its containers and routes are gone."""
    _must_be_an_id(deployment_id)
    done = await write.run(
        DeleteDeployment(deployment_id=deployment_id),
        lambda _: answer(Message(message="Deployment deleted successfully")),
        resource=deployment_id,
    )
    if await _is_gone(write, deployment_id, int(done.headers[POSITION_HEADER])):
        return done.response()
    waiting = answer(Message(message="Deployment is being deleted"), status=ACCEPTED)
    return waiting.with_headers(**done.headers).response()


async def _teams_of(write: Write, deployment_id: str) -> tuple[str, ...]:
    """Return whose it is; all teams it may be of, where the view has not heard of it yet."""
    row = await deployment_by_id(write.views, deployment_id, team_ids=write.seen_teams)
    return write.seen_teams if row is None else (row.team_id,)


async def _digest_of(
    write: Write, image: str, auth: RegistryAuthIn | None, *, team_ids: Sequence[str]
) -> str | None:
    """Return what the image's tag means now; refuses an image that its registry does not give.

    Uploaded code is named by its digest already: it has to be there, and one of these teams'.
    """
    reference = values.image(image)
    services = write.services
    source = source_of(reference)
    if source is not None:
        if not any(services.sources.claim(team_id, source.digest) for team_id in team_ids):
            raise UnknownSource
        return None
    if any(known.image == reference.partition(":")[0] for known in services.images):
        return None
    return await services.registries.digest_of(
        reference,
        username=auth.username if auth is not None else None,
        password=auth.password if auth is not None else None,
    )


async def _as_of(read: Read, deployment_id: str, text: str) -> DeploymentRow:
    """Return the row that the log makes of the deployment's events up to then."""
    wanted = position_or_moment(text, "asOf")
    if not is_id(deployment_id, "dpl"):
        raise NotFound
    recorded = [
        event
        for event in await read.services.log.read_stream(deployment_id)
        if (
            event.recorded_at <= wanted
            if isinstance(wanted, datetime)
            else event.position <= wanted
        )
    ]
    events = await read.services.decoder.decode_all(recorded)
    row = as_of(zip(events, recorded, strict=True))
    if row is None or row.team_id not in read.seen_teams:
        raise NotFound
    return row


def _must_be_an_id(deployment_id: str) -> None:
    if not is_id(deployment_id, "dpl"):
        raise NotFound


async def _is_gone(write: Write, deployment_id: str, position: int) -> bool:
    """Wait until nothing is left of it, but not for ever."""
    seconds = write.options.deletion_wait_seconds
    try:
        async with asyncio.timeout(seconds):
            # A view that has not heard of the deployment yet does not show it either.
            await write.views.wait_for("deployments", position, timeout_seconds=seconds)
            while await is_there(write.views, deployment_id):  # noqa: ASYNC110 - the view is asked
                await asyncio.sleep(DELETION_POLL_SECONDS)
    except (TimeoutError, ViewBehind):
        return False
    return True


def _changed(message: str) -> Callable[[Done], Answer]:
    def made(done: Done) -> Answer:
        return answer(
            Changed(
                id=done.deployment_id,
                status=done.status,
                replicas=done.replicas,
                revision=done.revision,
                message=message,
                updated_at=done.at,
            )
        )

    return made
