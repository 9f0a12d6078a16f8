"""The application: the routes, behind the guard, inside the envelope."""

from importlib.metadata import version

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from api import (
    admin,
    alerts,
    analytics,
    api_keys,
    audit,
    dashboard,
    documentation,
    estimates,
    health,
    identity,
    images,
    impersonation,
    invitations,
    leaks,
    mailbox,
    notices,
    pages,
    quotas,
    sources,
    teams,
    upkeep,
    usage,
)
from api.callers import Doorkeeper
from api.denials import Denials
from api.deployments import certificates as deployment_certificates
from api.deployments import domains as deployment_domains
from api.deployments import logs as deployment_logs
from api.deployments import metrics as deployment_metrics
from api.deployments import routes as deployments
from api.directory import Directory
from api.envelope import Envelope
from api.errors import problem_response
from api.kept_answers import KeptAnswers
from api.live import routes as live
from api.openapi import operation_id
from api.portals import routes as portals
from api.services import Services
from api.webhooks import deliveries as webhook_deliveries
from api.webhooks import routes as webhooks

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
METHOD_NOT_ALLOWED = 405

ROUTERS = (
    *identity.ROUTERS,
    teams.router,
    invitations.router,
    quotas.router,
    api_keys.router,
    leaks.router,
    deployments.router,
    deployment_domains.router,
    deployment_certificates.router,
    deployment_logs.router,
    deployment_metrics.router,
    portals.router,
    images.router,
    sources.router,
    analytics.router,
    usage.router,
    estimates.router,
    alerts.router,
    audit.router,
    live.router,
    webhooks.router,
    webhook_deliveries.router,
    admin.router,
    mailbox.router,
    upkeep.router,
    impersonation.router,
    notices.router,
    # Without the prefix /v1:
    health.router,
    pages.router,
    documentation.router,
    dashboard.router,
)


def create_app(services: Services) -> FastAPI:
    """Return the ASGI application. It starts nothing: whoever made the services runs them."""
    app = FastAPI(
        title="Tallyport",
        version=version("tallyport"),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=operation_id,
    )
    doorkeeper = Doorkeeper(services)
    app.state.services = services
    app.state.doorkeeper = doorkeeper
    app.state.denials = Denials(services.bus, services.clock)
    app.state.kept_answers = kept_answers = KeptAnswers(services.views)
    app.router.routes.append(Directory(route for router in ROUTERS for route in router.routes))
    for router in ROUTERS:
        app.include_router(router)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _refused)
    app.add_middleware(
        Envelope, services=services, doorkeeper=doorkeeper, kept_answers=kept_answers
    )
    return app


async def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.status_code == METHOD_NOT_ALLOWED:
        headers = {"Allow": ", ".join(_allowed_methods(request))}
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
        error = HTTPException(METHOD_NOT_ALLOWED, headers=headers)
    return problem_response(error, request_id=request.state.request_id)


def _allowed_methods(request: Request) -> list[str]:
    """Return every method that may be sent to this path.

    A path that is named as it stands is not also taken for somebody's id: `passkeys/options`.
    """
    path = request.scope["path"]
    named = [r for router in ROUTERS for r in router.routes if getattr(r, "path", None) == path]
    routes = named or request.app.routes
    found = [
        method
        for method in METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes
        )
    ]
    return [*found, *(["HEAD"] if "GET" in found else []), "OPTIONS"]
