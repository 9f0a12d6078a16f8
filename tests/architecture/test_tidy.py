"""What neither the linter nor the import contracts can say. Each message says what to do."""

import ast
import re

from tests.architecture.source_tree import ROOT, Module, imports, modules, modules_of_tests

FUNCTION_LINES_MAX = 60
MODULE_LINES_MAX = 450

LONGER_FUNCTIONS: frozenset[str] = frozenset()
"""Functions longer than allowed when they were looked at. This list only gets shorter."""

LONGER_MODULES: frozenset[str] = frozenset()
"""The same for modules."""

BANNED_IN_DOMAIN = {
    "datetime.now": "take the time as an argument",
    "datetime.utcnow": "take the time as an argument",
    "date.today": "take the date as an argument",
    "time.time": "take the time as an argument",
    "uuid.uuid4": "take the id as an argument",
    "uuid4": "take the id as an argument",
    "os.environ": "take the value as an argument; only bootstrap/settings.py reads the environment",
    "os.getenv": "take the value as an argument; only bootstrap/settings.py reads the environment",
    "open": "the domain does no input or output",
    "print": "the domain does no input or output",
}
BANNED_MODULES_IN_DOMAIN = {
    "random": "take what was drawn as an argument",
    "secrets": "take what was drawn as an argument",
    "asyncio": "the domain does not wait",
    "subprocess": "the domain does no input or output",
    "socket": "the domain does no input or output",
    "structlog": "what is worth a line is worth an event; log in commands or workers",
    "logging": "what is worth a line is worth an event; log in commands or workers",
}
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"}
PROGRESS_REPORTS = re.compile(r"(?i)^(summary|status|progress|notes|todo|handoff|plan)\.md$|^old_")
LEFTOVER = re.compile(r"\b(?:FIX[M]E|TO[D]O|XX[X]|HAC[K])\b")  # so that it does not find itself
READERS_OF_THE_ENVIRONMENT = {
    "bootstrap/settings.py",
    "cli/environment.py",  # a program of its own: the people's, on their machines
    "infrastructure/containers/echo/server.py",  # a program of its own, in a container of its own
    "infrastructure/containers/python_image.py",  # hands the loader's search path on
}


def dotted_name(node: ast.expr) -> str:
    """Return `a.b.c` for an attribute or a name, else nothing."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            prefix = dotted_name(value)
            return f"{prefix}.{attr}" if prefix else ""
        case _:
            return ""


def in_domain() -> list[Module]:
    return [module for module in modules() if module.path.parts[0] == "domain"]


def test_the_domain_takes_time_chance_and_surroundings_as_arguments() -> None:
    wrong = [
        f"{module.path}:{node.lineno}: {name}: {BANNED_IN_DOMAIN[name]}"
        for module in in_domain()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute | ast.Name)
        and (name := dotted_name(node)) in BANNED_IN_DOMAIN
    ]
    assert not wrong, "\n".join(wrong)


def test_the_domain_imports_nothing_that_acts() -> None:
    wrong = [
        f"{module.path} imports {name}: {reason}"
        for module in in_domain()
        for name in imports(module)
        if (reason := BANNED_MODULES_IN_DOMAIN.get(name.split(".")[0]))
    ]
    assert not wrong, "\n".join(wrong)


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(module.path)
        for module in modules()
        if module.text and not ast.get_docstring(module.tree)
    ]
    assert not silent, f"Begin with a docstring: what it is for, what one would not guess: {silent}"


def test_every_context_opens_with_its_language() -> None:
    short = [
        str(module.path)
        for module in in_domain()
        if module.path.name == "__init__.py"
        and len(module.path.parts) == 3
        and module.path.parts[1] != "kernel"
        and len((ast.get_docstring(module.tree) or "").splitlines()) < 3
    ]
    assert not short, (
        f"Tell the context's words in a few lines of prose, *defined* ones so: {short}"
    )


def test_functions_fit_on_a_screen() -> None:
    longer = {
        f"{module.dotted}.{node.name}"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES_MAX
    }
    new = sorted(longer - LONGER_FUNCTIONS)
    assert not new, f"Over {FUNCTION_LINES_MAX} lines; split along the story it tells: {new}"
    gone = sorted(LONGER_FUNCTIONS - longer)
    assert not gone, f"Short now: take them off LONGER_FUNCTIONS: {gone}"


def test_modules_read_in_one_sitting() -> None:
    longer = {
        str(module.path) for module in modules() if len(module.text.splitlines()) > MODULE_LINES_MAX
    }
    new = sorted(longer - LONGER_MODULES)
    assert not new, f"Over {MODULE_LINES_MAX} lines; make it a folder of that name: {new}"
    gone = sorted(LONGER_MODULES - longer)
    assert not gone, f"Short now: take them off LONGER_MODULES: {gone}"


def test_names_say_what_is_inside() -> None:
    vague = [
        str(module.path)
        for module in (*modules(), *modules_of_tests())
        if set(module.path.with_suffix("").parts) & VAGUE_NAMES
    ]
    assert not vague, f"Name the concept (retries.py, money.py) or put it where it is used: {vague}"


def test_nothing_in_the_tree_reports_progress() -> None:
    folders = [ROOT, *(path for path in (ROOT / "docs").rglob("*") if path.is_dir())]
    reports = [
        str(path.relative_to(ROOT))
        for folder in folders
        for path in folder.iterdir()
        if PROGRESS_REPORTS.match(path.name)
    ]
    assert not reports, f"What was done belongs to the commit messages: {reports}"


def test_nothing_is_left_for_later_in_a_comment() -> None:
    left = [
        f"{module.path}:{number}"
        for module in (*modules(), *modules_of_tests())
        for number, line in enumerate(module.text.splitlines(), start=1)
        if LEFTOVER.search(line)
    ]
    assert not left, f"Do it, or open an issue and take the comment out: {left}"


def test_only_the_settings_read_the_environment() -> None:
    readers = [
        f"{module.path}:{node.lineno}"
        for module in modules()
        if str(module.path) not in READERS_OF_THE_ENVIRONMENT
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and dotted_name(node) in {"os.environ", "os.getenv"}
    ]
    assert not readers, (
        "Declare a setting and take the value as an argument. An option goes before it with "
        f"load(overrides=...), a child process gets given(): {readers}"
    )
