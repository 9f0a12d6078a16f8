"""The predefined images: what a newcomer can run before owning any image of their own."""

import sys
from collections.abc import Sequence
from pathlib import Path

from infrastructure.containers import CatalogueImage
from infrastructure.containers.python_image import python_image

ECHO_PROGRAM = Path(__file__).parent / "echo" / "server.py"
ECHO_PORT = 8080

ECHO = CatalogueImage(
    image="tallyport/echo",
    description=(
        "A sample API: answers with the request it got. Also /health, /slow?ms=250, "
        "/status/418 and /bytes/1000."
    ),
    port=ECHO_PORT,
    health_path="/health",
    command=(sys.executable, "-I", "-S", "-B", str(ECHO_PROGRAM)),
    build=lambda: python_image(ECHO_PROGRAM, port=ECHO_PORT),
)


class PredefinedImages:
    """The catalogue, by image reference."""

    def __init__(self, images: Sequence[CatalogueImage] = (ECHO,)) -> None:
        self.images = tuple(images)
        self._by_reference = {image.image: image for image in images}

    def find(self, image: str) -> CatalogueImage | None:
        """Return the entry of an image reference, None when it is not a predefined one."""
        return self._by_reference.get(image.removesuffix(":latest"))
