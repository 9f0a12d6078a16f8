"""A base image for Node.js, made of the program on this machine: no registry is needed."""

import hashlib
import io
import re
import subprocess
import tarfile
from pathlib import Path

import docker

REPOSITORY = "tallyport-test/node-base"
_LIBRARY = re.compile(r"(?:^|=>)\s*(/\S+)", re.MULTILINE)


def node_base(api: docker.APIClient, node: Path) -> str:
    """Return the name of the image; made once for each engine and Node.js."""
    about = node.stat()
    made_of = f"{node} {about.st_size} {about.st_mtime_ns}"
    tag = hashlib.sha256(made_of.encode()).hexdigest()[:12]
    reference = f"{REPOSITORY}:{tag}"
    if not api.images(reference):
        api.import_image_from_data(_archive(node), repository=REPOSITORY, tag=tag)
    return reference


def _archive(node: Path) -> bytes:
    linked = subprocess.run(["ldd", node], capture_output=True, text=True, check=False)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        scratch = tarfile.TarInfo("tmp")
        scratch.type, scratch.mode = tarfile.DIRTYPE, 0o1777
        archive.addfile(scratch)
        _add(archive, node, "/usr/bin/node")
        for library in sorted(set(_LIBRARY.findall(linked.stdout))):
            _add(archive, Path(library), library)
    return packed.getvalue()


def _add(archive: tarfile.TarFile, file: Path, name: str) -> None:
    entry = tarfile.TarInfo(name.lstrip("/"))
    entry.size, entry.mode = file.stat().st_size, 0o755
    with file.open("rb") as content:
        archive.addfile(entry, content)
