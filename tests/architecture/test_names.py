"""One subject, one name, in every layer."""

from tests.architecture.source_tree import ROOT, imports, modules

CONTEXTS = sorted(
    path.name
    for path in (ROOT / "domain").iterdir()
    if (path / "__init__.py").exists() and path.name != "kernel"
)
SERVE_ALL_CONTEXTS = {"__init__", "addresses", "bus", "catalogue", "states", "work"}
"""Modules of commands/ that belong to no context."""

ELSEWHERE = {
    "architecture": "the shape of the tree itself",
    "compose": "the image and docker-compose.yml",
    "docker": "an engine of our own",
    "faults": "parts killed on purpose",
    "golden_events": "one stored event per type and version",
    "images": "images that misbehave",
    "journeys": "stories from end to end",
    "kafka": "brokers to test against",
}
"""Folders of tests/ that mirror no folder of the tree."""


def test_every_context_with_rules_has_its_commands() -> None:
    missing = [
        context
        for context in CONTEXTS
        if context != "metering"  # the facts come from the meter
        and not (ROOT / "commands" / f"{context}.py").exists()
        and not (ROOT / "commands" / context).is_dir()
    ]
    assert not missing, f"commands/<context>.py is where its commands are looked for: {missing}"


def test_every_file_of_commands_is_named_after_its_context() -> None:
    strange = [
        path.stem
        for path in (ROOT / "commands").glob("*.py")
        if path.stem not in {*CONTEXTS, *SERVE_ALL_CONTEXTS}
    ]
    assert not strange, f"Name it after its context in domain/, or say here what it is: {strange}"


def test_commands_of_a_context_record_facts_of_that_context_only() -> None:
    wrong = [
        f"{module.path} imports {name}"
        for module in modules()
        if module.path.parts[0] == "commands"
        and (context := module.path.with_suffix("").parts[1]) in CONTEXTS
        for name in imports(module)
        if name.startswith("domain.")
        and name.split(".")[1] not in {context, "kernel"}
        and name.split(".")[2] == "events"
    ]
    assert not wrong, (
        "One command changes one aggregate of its own context; what follows in another context is "
        f"a process manager's work: {wrong}"
    )


def test_every_context_is_tested_by_name() -> None:
    missing = [
        context
        for context in CONTEXTS
        if not list((ROOT / "tests" / "domain").glob(f"**/test_{context}*.py"))
        and not (ROOT / "tests" / "domain" / context).is_dir()
    ]
    assert not missing, f"Its rules belong in tests/domain/test_<context>.py: {missing}"


def test_test_folders_mirror_the_tree() -> None:
    strange = [
        path.name
        for path in (ROOT / "tests").iterdir()
        if path.is_dir()
        and path.name != "__pycache__"
        and path.name not in ELSEWHERE
        and not (ROOT / path.name).is_dir()
    ]
    assert not strange, f"tests/ mirrors the tree; which folder do these mirror? {strange}"
