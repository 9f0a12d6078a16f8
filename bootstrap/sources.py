"""Where uploaded code lies: one folder for the API, which takes it in, and the provisioner."""

from bootstrap.settings import Settings
from infrastructure.archives import Limits
from infrastructure.sources import Runtime
from infrastructure.sources.folder import FolderSources


def sources_of(settings: Settings) -> FolderSources:
    """Return the folder, with the limits of the settings."""
    limits = settings.sources
    return FolderSources(
        settings.home / "sources",
        upload_bytes_max=limits.upload_limit_bytes,
        team_bytes_max=limits.team_sources_limit_bytes,
        limits=Limits(bytes_max=limits.source_limit_bytes),
    )


def base_images(settings: Settings) -> dict[Runtime, str]:
    """Return what code is built on."""
    code = settings.sources
    return {"python": code.base_python, "node": code.base_node, "go": code.base_go}
