"""Images with bad manners, for tests: each runs as a container (busybox) and as a process (Python).

They are made here, out of Debian's busybox-static, so no registry is needed.
"""

import hashlib
import io
import json
import platform
import sys
import tarfile
from pathlib import Path

from infrastructure.containers import CatalogueImage, LocalImage
from infrastructure.containers.catalogue import ECHO, PredefinedImages
from infrastructure.containers.python_image import python_image

BUSYBOX = Path("/bin/busybox")
APPLETS = ("sh", "sleep", "head", "tr", "httpd", "id", "touch", "cat", "wget", "nc", "stat")
HOSTILE_PROGRAM = Path(__file__).parent / "hostile.py"

SERVES = "tallyport-test/serves"
"""The one with good manners: it answers, and needs next to nothing for it."""
CRASHES = "tallyport-test/crashes"
NEVER_OPENS = "tallyport-test/never-opens"
IGNORES_SIGTERM = "tallyport-test/ignores-sigterm"
WRITES_MUCH = "tallyport-test/writes-much"
EATS_MEMORY = "tallyport-test/eats-memory"
IS_BUSY = "tallyport-test/is-busy"
KNOWS_ITSELF = "tallyport-test/knows-itself"
"""Its image says how to tell that it is well."""
KEEPS_FILES = "tallyport-test/keeps-files"
"""Its image declares a VOLUME."""
BUSY_BYTES = 40_000_000
"""What the busy one holds while it computes."""

HOSTILE = CatalogueImage(
    image="tallyport-test/hostile",
    description="for tests: tries what it must not be able to",
    port=8080,
    health_path="/",
    command=(sys.executable, "-I", "-S", "-B", str(HOSTILE_PROGRAM)),
    build=lambda: python_image(HOSTILE_PROGRAM, port=8080),
)
_SHELL = {
    SERVES: "cd /tmp && exec httpd -f -p 8080",
    CRASHES: "echo starting; echo cannot find the database >&2; exit 3",
    NEVER_OPENS: "echo thinking; while true; do sleep 1; done",
    IGNORES_SIGTERM: "trap '' TERM; echo deaf; while true; do sleep 1; done",
    WRITES_MUCH: "i=0; while [ $i -lt 30000 ]; do echo line $i; i=$((i+1)); done; sleep 600",
    IS_BUSY: f"x=$(head -c {BUSY_BYTES} /dev/zero | tr '\\0' x); echo full; while :; do :; done",
    EATS_MEMORY: "x=$(head -c 400000000 /dev/zero | tr '\\0' x); echo ${#x}",
}
_PYTHON = {
    SERVES: (
        "import os\nfrom http.server import SimpleHTTPRequestHandler, test\n"
        "test(SimpleHTTPRequestHandler, port=int(os.environ['PORT']))"
    ),
    CRASHES: "import sys; print('starting', flush=True); sys.exit('cannot find the database')",
    NEVER_OPENS: "import time; print('thinking', flush=True); time.sleep(600)",
    IGNORES_SIGTERM: (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True)\n"
        "while True: time.sleep(1)"
    ),
    WRITES_MUCH: "import time\nfor i in range(30000): print('line', i)\ntime.sleep(600)",
    IS_BUSY: f"x = b'x' * {BUSY_BYTES}; print('full', flush=True)\nwhile x: pass",
    EATS_MEMORY: "x = 'x' * 400_000_000; print(len(x))",
}


def shell_image(image: str) -> CatalogueImage:
    """Return one of the small programs as a predefined image."""
    return CatalogueImage(
        image=image,
        description="for tests",
        port=8080,
        health_path="/",
        command=(sys.executable, "-u", "-c", _PYTHON[image]),
        build=lambda: busybox_image(_SHELL[image]),
    )


def _patient(image: str, change: str) -> CatalogueImage:
    """Return an image that only waits, changed by an instruction."""
    return CatalogueImage(
        image=image,
        description="for tests",
        port=8080,
        health_path="/",
        command=(sys.executable, "-u", "-c", _PYTHON[NEVER_OPENS]),
        build=lambda: busybox_image(_SHELL[NEVER_OPENS], change),
    )


HAVING_INSTRUCTIONS = (
    _patient(KNOWS_ITSELF, "HEALTHCHECK CMD test ! -e /tmp/ill || { echo is ill; exit 1; }"),
    _patient(KEEPS_FILES, "VOLUME /var/files"),
)


def catalogue() -> PredefinedImages:
    """Return the sample API and everything with bad manners."""
    shells = [shell_image(image) for image in _SHELL]
    return PredefinedImages([ECHO, HOSTILE, *HAVING_INSTRUCTIONS, *shells])


def busybox_image(script: str, *changes: str) -> LocalImage:
    """Return an image that runs a shell script."""
    command = json.dumps(["/bin/sh", "-c", script])
    return LocalImage(
        content_hash=hashlib.sha256("".join((command, *changes)).encode()).hexdigest()[:12],
        architecture=platform.machine(),
        archive=busybox_archive,
        changes=(f"CMD {command}", "USER 65534:65534", *changes),
        context=lambda: b"",
    )


def busybox_archive() -> bytes:
    """Return a root file system with nothing but busybox."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for folder, mode in (("bin", 0o755), ("tmp", 0o755), ("proc", 0o755), ("dev", 0o755)):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            archive.addfile(entry)
        program = tarfile.TarInfo("bin/busybox")
        program.size, program.mode = BUSYBOX.stat().st_size, 0o755
        with BUSYBOX.open("rb") as content:
            archive.addfile(program, content)
        for name in APPLETS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
    return packed.getvalue()
