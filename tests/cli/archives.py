"""Looking into what is packed of a folder."""

import io
import tarfile
from pathlib import Path

from cli.packing import packed


def content(folder: Path) -> bytes:
    """Return the archive of a folder."""
    with packed(folder) as archive:
        return b"".join(archive.chunks())


def members(folder: Path) -> list[str]:
    """Return the names in the archive of a folder."""
    with tarfile.open(fileobj=io.BytesIO(content(folder))) as opened:
        return sorted(opened.getnames())
