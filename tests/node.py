"""The Node.js that builds the dashboard: this machine's, or the one from the package index."""

import runpy
import shutil
from pathlib import Path

from tests.architecture.source_tree import ROOT


def node() -> Path:
    """Return the program; raises where there is none, and so no dashboard either."""
    first = Path(runpy.run_path(str(ROOT / "bin" / "_build_dashboard.py"))["find_npm"]()[0])
    found = first if first.name == "node" else Path(shutil.which("node") or "")
    return found.resolve(strict=True)
