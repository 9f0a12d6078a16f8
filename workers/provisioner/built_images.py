"""Lets go of what was built of uploaded code, once no revision that one would go back to needs it.

What is wanted now stays, and the last revisions of each deployment that were live. Only what this
installation built is looked at; what still runs is kept by the engine itself.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from domain.deployments.values import Blueprint
from infrastructure.containers import ContainerDriver, ContainerError

REVISIONS_KEPT = 5
"""How many revisions that were live can be gone back to without building anew."""
FIRST_SECONDS = 60.0
INTERVAL_SECONDS = 3600.0

log = structlog.get_logger()


def images_kept(
    revision: int, blueprints: dict[int, Blueprint], lived: tuple[int, ...]
) -> frozenset[str]:
    """Return the images that a deployment may need without being asked again."""
    numbers = {revision, *lived[-REVISIONS_KEPT:]}
    return frozenset(
        blueprint.image for number, blueprint in blueprints.items() if number in numbers
    )


async def let_go(driver: ContainerDriver, kept: Callable[[], Awaitable[frozenset[str]]]) -> None:
    """Do so every hour. Never returns."""
    await asyncio.sleep(FIRST_SECONDS)
    while True:
        try:
            removed = await driver.prune(await kept())
            if removed:
                log.info("built images removed", count=removed)
        except (ContainerError, OSError) as error:
            log.warning("built images not removed", error=str(error)[:300])
        await asyncio.sleep(INTERVAL_SECONDS)
