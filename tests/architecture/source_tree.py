"""The Python files of the tree, parsed once, for the tests beside this file."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "domain",
    "commands",
    "projections",
    "workers",
    "gateway",
    "api",
    "infrastructure",
    "bootstrap",
    "cli",
)


@dataclass(frozen=True)
class Module:
    """One parsed file."""

    path: Path
    """Relative to the root of the checkout."""
    text: str
    tree: ast.Module

    @property
    def dotted(self) -> str:
        """The name it is imported by."""
        return ".".join(self.path.with_suffix("").parts).removesuffix(".__init__")


@cache
def modules() -> tuple[Module, ...]:
    """Return every module of the product."""
    return tuple(_parse(PACKAGES))


@cache
def modules_of_tests() -> tuple[Module, ...]:
    """Return every module under tests/ and benchmarks/."""
    return tuple(_parse(("tests", "benchmarks")))


def imports(module: Module) -> Iterator[str]:
    """Yield what a module imports: `a.b` for `import a.b`, `a.b.c` for `from a.b import c`."""
    for node in ast.walk(module.tree):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom(module=str(source), level=0):
                yield from (f"{source}.{alias.name}" for alias in node.names)


def _parse(folders: tuple[str, ...]) -> Iterator[Module]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            yield Module(path.relative_to(ROOT), text, ast.parse(text, filename=str(path)))
