"""Makes a small image out of the Python that runs us, without any registry.

On Linux an image needs a root file system and nothing else. The interpreter, the shared libraries
it is linked to, and the modules that one program imports are all on this machine already: together
about ten megabytes and the interpreter itself. An engine of another kind (Docker Desktop, another
processor) builds the same program on the official image instead.
"""

import hashlib
import io
import json
import os
import platform
import py_compile
import re
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from infrastructure.containers import LocalImage

LAYOUT = 1
"""Part of the content hash: count up when this file makes another image of the same program."""
BASE_IMAGE = "python:3.13-slim"
PYTHON_HOME = PurePosixPath("/python")
LIBRARIES = PYTHON_HOME / "libraries"
PROGRAM = "/app/server.py"
NOBODY = 65534
CACHE_TAG = sys.implementation.cache_tag
DISCOVERY_SECONDS_MAX = 30
LAZY_MODULES = ("encodings.idna", "encodings.latin_1", "traceback", "linecache", "tokenize")
"""Modules that Python imports by itself, later: for names, and to show an error."""

# Runs in a fresh interpreter: imports what the program imports and says which files that took.
_DISCOVER = """
import asyncio, importlib, json, runpy, sys
for name in json.loads(sys.argv[2]):
    importlib.import_module(name)
runpy.run_path(sys.argv[1], run_name="discovery")
asyncio.run(asyncio.sleep(0))
files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
print(json.dumps(sorted(file for file in files if file)))
"""
_LIBRARY = re.compile(r"(?:^|=>)\s*(/\S+)", re.MULTILINE)


def python_image(program: Path, *, port: int) -> LocalImage:
    """Return the image that runs one program of the standard library."""
    content = program.read_bytes()
    made_of = (str(LAYOUT), sys.version, platform.machine(), str(port))
    return LocalImage(
        content_hash=hashlib.sha256("\n".join(made_of).encode() + content).hexdigest()[:12],
        architecture=platform.machine(),
        archive=lambda: _archive(program),
        changes=(
            f'CMD ["{PYTHON_HOME}/bin/python3", "-s", "-B", "{PROGRAM}"]',
            f"ENV PYTHONHOME={PYTHON_HOME}",
            f"ENV LD_LIBRARY_PATH={LIBRARIES}",
            f"ENV PORT={port}",
            f"EXPOSE {port}",
            f"USER {NOBODY}:{NOBODY}",
        ),
        context=lambda: build_context(program, port=port, base_image=BASE_IMAGE),
    )


def build_context(program: Path, *, port: int, base_image: str) -> bytes:
    """Return a build context for an engine that can pull the base image."""
    dockerfile = f"""\
FROM {base_image}
COPY server.py {PROGRAM}
ENV PORT={port}
EXPOSE {port}
USER {NOBODY}:{NOBODY}
CMD ["python3", "-s", "-B", "{PROGRAM}"]
"""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        _add_bytes(archive, "Dockerfile", dockerfile.encode())
        _add_bytes(archive, "server.py", program.read_bytes())
    return packed.getvalue()


def _archive(program: Path) -> bytes:
    interpreter = Path(sys.executable).resolve()
    modules = _modules_of(program, interpreter)
    libraries = _libraries_of([interpreter, *(m for m in modules if m.suffix != ".py")])
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        _add_folder(archive, "tmp", mode=0o1777)
        for folder in ("dev", "proc", "sys", "etc"):
            _add_folder(archive, folder, mode=0o755)
        _add_bytes(archive, "etc/passwd", b"nobody:x:65534:65534:nobody:/:/bin/false\n")
        _add_bytes(archive, PROGRAM, program.read_bytes())
        _add_bytes(archive, f"{PYTHON_HOME}/bin/python3", interpreter.read_bytes(), mode=0o755)
        for module in modules:
            place = _place_of(module)
            _add_bytes(archive, str(place), module.read_bytes())
            if module.suffix == ".py":
                compiled = place.parent / "__pycache__" / f"{place.stem}.{CACHE_TAG}.pyc"
                _add_bytes(archive, str(compiled), _compiled(module, shown_as=place))
        for library in libraries:
            # The loader is named in the interpreter itself and must stay at its own path.
            kept = library.name.startswith("ld-")
            name = str(library if kept else LIBRARIES / library.name)
            _add_bytes(archive, name, library.read_bytes(), mode=0o755)
    return packed.getvalue()


def _modules_of(program: Path, interpreter: Path) -> list[Path]:
    """Return every file of the standard library that the program imports."""
    asked = subprocess.run(
        [interpreter, "-I", "-S", "-c", _DISCOVER, str(program), json.dumps(LAZY_MODULES)],
        capture_output=True,
        check=True,
        timeout=DISCOVERY_SECONDS_MAX,
        env={name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ},
    )
    standard = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    standard = {os.path.realpath(place) for place in standard}
    found = {Path(file).resolve() for file in json.loads(asked.stdout)}
    # Python looks for these two to know where its library is, with or without an import.
    found |= {Path(place) / landmark for place in standard for landmark in ("os.py", "site.py")}
    return sorted(
        file
        for file in found
        if file.is_file() and any(file.is_relative_to(place) for place in standard)
    )


def _place_of(module: Path) -> PurePosixPath:
    return PYTHON_HOME / module.relative_to(Path(sys.base_prefix).resolve()).as_posix()


def _compiled(module: Path, *, shown_as: PurePosixPath) -> bytes:
    """Return the module's bytecode: with it the program starts in a quarter of the time."""
    with tempfile.TemporaryDirectory() as folder:
        made = py_compile.compile(
            str(module),
            cfile=str(Path(folder) / "module.pyc"),
            dfile=str(shown_as),
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
        return Path(made or "").read_bytes()


def _libraries_of(binaries: list[Path]) -> list[Path]:
    """Return the shared libraries that the loader would map, the loader itself included."""
    found: set[Path] = set()
    for binary in binaries:
        linked = subprocess.run(
            ["ldd", binary], capture_output=True, text=True, check=False, timeout=10
        )
        found |= {Path(path) for path in _LIBRARY.findall(linked.stdout)}
    return sorted(found)


def _add_folder(archive: tarfile.TarFile, name: str, *, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    archive.addfile(entry)


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes, *, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name.lstrip("/"))
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))
