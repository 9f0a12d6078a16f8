"""Base images of the runtimes, made of what is on this machine: no registry is needed."""

import hashlib
import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from urllib.parse import urlsplit

import docker

from infrastructure.containers.python_image import LIBRARIES, PYTHON_HOME, python_image
from tests.images.programs import busybox_archive

REPOSITORY = "tallyport-test/node-base"
GO_REPOSITORY = "tallyport-test/go-base"
GO_CACHE = "/go-build"
NOBODY = 65534
_PIP = """\
import sys
sys.path.insert(0, {place!r})
from pip._internal.cli.main import main
main({words!r})
"""
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


def go_base(api: docker.APIClient, program: Path) -> str:
    """Return the name of an image that builds what needs no more of Go than this code does.

    It has what this machine's own build of it left behind, so nothing is compiled twice.
    """
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}

    def go(*words: str) -> str:
        done = subprocess.run(
            ["go", *words], cwd=program, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    root = Path(go("env", "GOROOT"))
    tag = re.sub(r"[^\w.-]", "-", go("env", "GOVERSION"))
    reference = f"{GO_REPOSITORY}:{tag}"
    if not api.images(reference):
        listed = go("list", "-deps", "-export", "-f", "{{.Standard}}\t{{.Dir}}\t{{.Export}}", ".")
        packages = [line.split("\t") for line in listed.splitlines()]
        folders = [Path(folder) for standard, folder, _ in packages if standard == "true"]
        compiled = [Path(export) for standard, _, export in packages if standard == "true"]
        cache = Path(go("env", "GOCACHE"))
        api.import_image_from_data(
            _go_archive(root, folders, [each for each in compiled if each.name], cache),
            repository=GO_REPOSITORY,
            tag=tag,
            changes=[f"ENV PATH={root}/bin:/bin GOCACHE={GO_CACHE} TMPDIR={GO_CACHE}/tmp"],
        )
    return reference


def pip_base(api: docker.APIClient, wheel: Path, folder: Path, *, index: str) -> str:
    """Return the name of an image whose Python installs from an index, which has this wheel only.

    What pip needs of the standard library is what it imports while it installs the same wheel here.
    """
    found = importlib.util.find_spec("pip")
    assert found is not None
    assert found.origin is not None
    place = folder / "alone" / "pip"
    shutil.copytree(Path(found.origin).parent, place, ignore=shutil.ignore_patterns("*.pyc"))
    program = folder / "install.py"
    words = ["install", "--quiet", "--isolated", "--disable-pip-version-check", "--no-index"]
    words += ["--target", str(folder / "target"), str(wheel)]
    program.write_text(_PIP.format(place=str(place.parent), words=words))
    image = python_image(program, port=8080)
    packed = io.BytesIO(image.archive())
    home = f"{PYTHON_HOME}/lib/python{sys.version_info.major}.{sys.version_info.minor}"
    with tarfile.open(fileobj=packed, mode="a") as archive:
        shell = io.BytesIO(busybox_archive())
        with tarfile.open(fileobj=shell) as entries:
            for entry in (each for each in entries if each.name.startswith("bin/")):
                archive.addfile(entry, entries.extractfile(entry) if entry.isfile() else None)
        for file in place.rglob("*"):
            if file.is_file() and file.suffix != ".pyc":  # those that it has made here
                _add(archive, file, f"{home}/site-packages/{file.relative_to(place.parent)}")
    repository, tag = "tallyport-test/pip-base", image.content_hash
    api.import_image_from_data(
        packed.getvalue(),
        repository=repository,
        tag=tag,
        changes=[
            f"ENV PYTHONHOME={PYTHON_HOME} LD_LIBRARY_PATH={LIBRARIES}",
            f"ENV PATH={PYTHON_HOME}/bin:/bin PIP_INDEX_URL={index}",
            f"ENV PIP_TRUSTED_HOST={urlsplit(index).hostname}",
        ],
    )
    return f"{repository}:{tag}"


def _go_archive(root: Path, folders: list[Path], compiled: list[Path], cache: Path) -> bytes:
    packed = io.BytesIO(busybox_archive())
    with tarfile.open(fileobj=packed, mode="a") as archive:
        tools = [*root.glob("pkg/tool/*/*"), *root.glob("pkg/include/*"), root / "bin" / "go"]
        files = [*tools, root / "go.env", root / "VERSION"]
        files += [file for folder in folders for file in folder.iterdir()]
        for file in files:
            if file.is_file() and not file.name.endswith("_test.go"):
                _add(archive, file, str(file))
        for name in ("tmp", *(f"{number:02x}" for number in range(256))):
            folder = tarfile.TarInfo(f"{GO_CACHE}/{name}".lstrip("/"))
            folder.type, folder.mode, folder.uid = tarfile.DIRTYPE, 0o755, NOBODY
            archive.addfile(folder)
        kept = {file.name.removesuffix("-d").encode() for file in compiled}
        names = [file for file in cache.glob("??/*-a") if not kept.isdisjoint(_words(file))]
        for file in [*names, *compiled]:
            here = f"{GO_CACHE}/{file.parent.name}/{file.name}"
            _add(archive, file, here if file.is_relative_to(cache) else str(file), owner=NOBODY)
    return packed.getvalue()


def _words(file: Path) -> list[bytes]:
    """Return what an entry of Go's build cache says; none if it has just gone."""
    return file.read_bytes().split() if file.exists() else []


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


def _add(archive: tarfile.TarFile, file: Path, name: str, *, owner: int = 0) -> None:
    entry = tarfile.TarInfo(name.lstrip("/"))
    entry.size, entry.mode, entry.uid = file.stat().st_size, 0o755, owner
    with file.open("rb") as content:
        archive.addfile(entry, content)
