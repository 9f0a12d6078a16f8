"""The routes of portals: the setting and the document, and what a portal's page asks for.

A public portal is shown to everybody, so these routes look themselves at who asks. A stranger is
told to sign in wherever there is nothing public, whether there is something else or not.
"""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from api.answers import Answer, answer, respond
from api.bodies import check_document
from api.deployments.finding import their_deployment
from api.deployments.shapes import DeploymentId, url_of
from api.deployments.status import status_of
from api.errors import InvalidValue, Malformed, Unauthenticated
from api.guard import PERHAPS_OPEN, GuardedRoute
from api.openapi import refusals
from api.portals.postman import collection_of
from api.portals.shapes import (
    Changelog,
    DocumentTaken,
    FetchFrom,
    FormatQuery,
    PortalOut,
    PortalPage,
    PortalSetting,
    PortalShown,
    PortalStatus,
    change_out,
    document_out,
    portal_url,
)
from api.requests import Read, Writing, reading
from api.schemas import Message
from commands.bus import Context
from commands.portals import (
    ChangedPortal,
    CheckPortal,
    FetchDocument,
    PublishDocument,
    ShowPortal,
    WithdrawDocument,
)
from domain.kernel.errors import NotFound
from domain.kernel.ids import is_id
from domain.portals.values import NoDocument
from infrastructure.documents import Unreadable, as_json, as_yaml
from infrastructure.documents import read as read_text
from projections.deployments import DeploymentRow
from projections.portals import document_of, open_portal, portal_of

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["Portals"])

NAME_CHARACTERS_MAX = 64
SHOWING = refusals(401, 403, 404)
CHANGING = refusals(401, 403, 404)
ACCEPTED = 202
YAML = "application/yaml"
DOCUMENT_SCHEMA = {
    "type": "object",
    "description": "An OpenAPI document, 3.0 or 3.1.",
    "required": ["openapi", "info"],
    "properties": {
        "openapi": {"type": "string", "examples": ["3.1.0"]},
        "info": {"type": "object"},
        "paths": {"type": "object"},
    },
}
TAKES_A_DOCUMENT = {
    "x-upload": True,
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "anyOf": [
                        DOCUMENT_SCHEMA,
                        FetchFrom.model_json_schema(by_alias=True),
                    ]
                }
            },
            YAML: {"schema": {"type": "string", "description": "The same as YAML."}},
        },
    },
}
GIVES_A_DOCUMENT = {
    **SHOWING,
    200: {
        "description": "The document, as it was published.",
        "content": {
            "application/json": {"schema": DOCUMENT_SCHEMA},
            YAML: {"schema": {"type": "string"}},
        },
    },
}

Reading = Annotated[Read, reading("deployments", "portals", "portal_documents")]
PortalName = Annotated[
    str,
    Path(
        description="A deployment's app name, or its id",
        examples=["shop"],
        json_schema_extra={"pattern": "^[0-9a-z-]{1,63}$"},
    ),
]


@router.get(
    "/portals/{portal}",
    response_model=PortalPage,
    responses=SHOWING,
    openapi_extra=PERHAPS_OPEN,
)
async def page(portal: PortalName, read: Reading) -> Response:
    """Show what a portal's page begins with. A public one is shown to everybody."""
    shown = None
    if portal.isascii() and portal.isprintable() and len(portal) <= NAME_CHARACTERS_MAX:
        shown = await open_portal(read.views, portal)
    if shown is None or shown.portal.visibility != "public":
        _must_be_somebody(read)
        if shown is None or shown.deployment.team_id not in read.seen_teams:
            raise NotFound
        read.must_hold("deployments:read", team_id=shown.deployment.team_id)
    deployment = shown.deployment
    status = status_of(deployment, now=read.services.clock())
    return respond(
        PortalPage(
            deployment_id=deployment.id,
            app_name=deployment.app_name,
            url=url_of(read.options.gateway_url, deployment.app_name),
            needs_key=deployment.visibility == "private",
            visibility=shown.portal.visibility,
            status=PortalStatus(health=status.health, uptime=status.uptime),
            document=document_out(shown.portal),
        )
    )


@router.get(
    "/deployments/{deployment_id}/portal",
    response_model=PortalOut,
    responses=SHOWING,
)
async def get_portal(deployment_id: DeploymentId, read: Reading) -> Response:
    """Show who may see the portal, and where its document comes from."""
    deployment = await their_deployment(read, deployment_id, "deployments:read")
    row = await portal_of(read.views, deployment.id)
    return respond(
        PortalOut(
            deployment_id=deployment.id,
            visibility=row.visibility,
            url=portal_url(read.options.public_url, deployment.app_name),
            document=document_out(row),
            fetch_from=row.path,
            fetch_failure=row.fetch_failure,
        )
    )


@router.put("/deployments/{deployment_id}/portal", response_model=PortalShown, responses=CHANGING)
async def set_portal(deployment_id: DeploymentId, body: PortalSetting, write: Writing) -> Response:
    """Let nobody, the team or everybody read how the deployment is called."""
    _must_be_an_id(deployment_id)
    words = {
        "off": "Nobody sees the portal",
        "team": "The team sees the portal",
        "public": "Everybody sees the portal",
    }

    def made(changed: ChangedPortal) -> Answer:
        return answer(
            PortalShown(
                deployment_id=deployment_id,
                visibility=body.visibility,
                url=portal_url(write.options.public_url, changed.app_name),
                message=words[body.visibility],
            )
        )

    command = ShowPortal(deployment_id=deployment_id, visibility=body.visibility)
    return await write.dispatch(command, made)


@router.put(
    "/deployments/{deployment_id}/openapi",
    response_model=DocumentTaken,
    responses={
        **refusals(401, 403, 404, 413, 415),
        ACCEPTED: {"model": DocumentTaken, "description": "It will be fetched."},
    },
    openapi_extra=TAKES_A_DOCUMENT,
)
async def put_document(deployment_id: DeploymentId, write: Writing) -> Response:
    """Publish a document, or `{"fetchFrom": "/openapi.json"}` to have the deployment asked."""
    _must_be_an_id(deployment_id)
    context = Context(actor=write.caller.actor, correlation_id=write.request_id)
    await write.services.bus.dispatch(CheckPortal(deployment_id=deployment_id), context)
    sent = await _sent(write.request)
    if isinstance(sent, FetchFrom):
        path = sent.fetch_from
        return await write.dispatch(
            FetchDocument(deployment_id=deployment_id, path=path),
            lambda _: answer(_fetching(path), status=ACCEPTED),
        )
    return await write.dispatch(PublishDocument(deployment_id=deployment_id, text=sent), _published)


@router.get(
    "/deployments/{deployment_id}/openapi",
    responses=GIVES_A_DOCUMENT,
    openapi_extra=PERHAPS_OPEN,
)
async def get_document(
    deployment_id: DeploymentId, query: Annotated[FormatQuery, Query()], read: Reading
) -> Response:
    """Return the document, to everybody if the portal is public."""
    deployment = await _shown(deployment_id, read)
    text = await _document(deployment, read)
    if query.format == "yaml":
        yaml = await asyncio.to_thread(lambda: as_yaml(read_text(text)))
        return Response(yaml, media_type=YAML)
    return Response(text, media_type="application/json")


@router.get(
    "/deployments/{deployment_id}/openapi/postman",
    responses={
        **SHOWING,
        200: {
            "description": "A Postman collection, v2.1.",
            "content": {"application/json": {"schema": {"type": "object"}}},
        },
    },
    openapi_extra=PERHAPS_OPEN,
)
async def postman(deployment_id: DeploymentId, read: Reading) -> Response:
    """Return the document as a Postman collection."""
    deployment = await _shown(deployment_id, read)
    text = await _document(deployment, read)
    url = url_of(read.options.gateway_url, deployment.app_name)
    needs_key = deployment.visibility == "private"
    made = await asyncio.to_thread(
        lambda: as_json(collection_of(read_text(text), url=url, needs_key=needs_key))
    )
    return Response(made, media_type="application/json")


@router.get(
    "/deployments/{deployment_id}/openapi/changelog",
    response_model=Changelog,
    responses=SHOWING,
    openapi_extra=PERHAPS_OPEN,
)
async def changelog(deployment_id: DeploymentId, read: Reading) -> Response:
    """Show what each publication changed, the newest first."""
    deployment = await _shown(deployment_id, read)
    row = await portal_of(read.views, deployment.id)
    return respond(Changelog(changes=[change_out(each) for each in row.publications]))


@router.delete("/deployments/{deployment_id}/openapi", response_model=Message, responses=CHANGING)
async def delete_document(deployment_id: DeploymentId, write: Writing) -> Response:
    """Withdraw the document; none is fetched any more."""
    _must_be_an_id(deployment_id)
    return await write.dispatch(
        WithdrawDocument(deployment_id=deployment_id),
        lambda _: answer(Message(message="Document withdrawn")),
    )


async def _shown(deployment_id: str, read: Read) -> DeploymentRow:
    """Return the deployment if its portal is public, or if the caller may see it anyway."""
    if is_id(deployment_id, "dpl"):
        shown = await open_portal(read.views, deployment_id)
        if shown is not None and shown.portal.visibility == "public":
            return shown.deployment
    _must_be_somebody(read)
    return await their_deployment(read, deployment_id, "deployments:read")


def _must_be_somebody(read: Read) -> None:
    state = read.request.state
    if state.refusal is not None:
        raise state.refusal
    if state.caller is None:
        raise Unauthenticated


async def _document(deployment: DeploymentRow, read: Read) -> bytes:
    row = await document_of(read.views, deployment.id)
    if row is None:
        raise NoDocument
    return row.document.encode()


async def _sent(request: Request) -> FetchFrom | bytes:
    """Return what the body is: a document as compact JSON, or where there is one."""
    body = await request.body()
    check_document(request, body)
    try:
        value = await asyncio.to_thread(read_text, body)
    except Unreadable as error:
        raise Malformed(str(error)) from error
    if isinstance(value, dict) and "fetchFrom" in value:
        try:
            return FetchFrom.model_validate(value)
        except ValidationError as error:
            wrong = {".".join(map(str, each["loc"])): each["msg"] for each in error.errors()}
            raise InvalidValue(fields=wrong) from error
    return as_json(value)


def _fetching(path: str) -> DocumentTaken:
    return DocumentTaken(
        status="fetching",
        digest=None,
        title=None,
        version=None,
        operations=None,
        fetch_from=path,
        message="The document is fetched once the deployment runs",
    )


def _published(changed: ChangedPortal) -> Answer:
    facts = changed.facts
    return answer(
        DocumentTaken(
            status="published",
            digest=changed.portal.digest,
            title=facts.title if facts else None,
            version=facts.version if facts else None,
            operations=facts.operations if facts else None,
            fetch_from=None,
            message="Document published",
        )
    )


def _must_be_an_id(deployment_id: str) -> None:
    if not is_id(deployment_id, "dpl"):
        raise NotFound
