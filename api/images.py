"""The predefined images."""

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from api.answers import respond
from api.guard import GuardedRoute
from api.openapi import refusals
from api.requests import Read, reading
from api.schemas import Output

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["Deployments"])


class Image(Output):
    """An image that can be deployed without a registry."""

    image: str
    description: str
    port: int
    health_path: str


class Images(Output):
    """The catalogue."""

    images: list[Image]


@router.get("/images", response_model=Images, responses=refusals(401))
async def images(read: Annotated[Read, reading()]) -> Response:
    """List the predefined images."""
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
            ]
        )
    )
