"""The predefined images, and the runtimes for code that is uploaded."""

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from api.answers import respond
from api.guard import GuardedRoute
from api.openapi import refusals
from api.requests import Read, reading
from api.schemas import Output
from infrastructure.sources import RUNTIMES, Runtime

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["Deployments"])


class Image(Output):
    """An image that can be deployed without a registry."""

    image: str
    description: str
    port: int
    health_path: str


class RuntimeOut(Output):
    """What runs code that is uploaded to `POST /v1/sources`."""

    runtime: Runtime
    base_image: str
    """What the code is built on, where it runs as a container."""


class Images(Output):
    """The catalogue."""

    images: list[Image]
    runtimes: list[RuntimeOut]


@router.get("/images", response_model=Images, responses=refusals(401))
async def images(read: Annotated[Read, reading()]) -> Response:
    """List the predefined images, and the runtimes for code."""
    return respond(
        Images(
            images=[
                Image(
                    image=each.image,
                    description=each.description,
                    port=each.port,
                    health_path=each.health_path,
                )
                for each in read.services.images
            ],
            runtimes=[
                RuntimeOut(runtime=runtime, base_image=read.options.base_images[runtime])
                for runtime in RUNTIMES
            ],
        )
    )
