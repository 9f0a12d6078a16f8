"""Writes docs/metrics.md from the metrics themselves, or tells that it is stale.

`python -m bootstrap.metrics_reference --write` and `--check`, from the root of the checkout.
"""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import cast

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from bootstrap.generated import write_or_check

PACKAGES = ("api", "gateway", "infrastructure", "projections", "workers", "bootstrap")
LEFT_OUT = ("bootstrap.main", "infrastructure.containers.echo")
"""Programs of their own, which act when they are imported."""
_REMAKE = "python -m bootstrap.metrics_reference --write"
_FILE = Path("docs/metrics.md")
_HEAD = f"""\
# Metrics

What the processes count about themselves, in the format of Prometheus. `GET /metrics` of the API
shows the API's own, and how far every view is; it needs no credentials, so let it be reached by
whom it concerns. The other processes keep theirs to themselves so far.

Written by `{_REMAKE}`.
"""
_PLACES = {
    "api": "The API",
    "gateway": "The gateway",
    "workers": "Workers",
    "projections": "Views and analytics",
    "infrastructure": "Adapters, in whichever process uses them",
}


def page() -> str:
    """Return docs/metrics.md."""
    rows: dict[str, set[str]] = {}
    for module in _modules():
        for metric in _metrics(module):
            kind = metric._type  # noqa: SLF001 - the library shows it no other way
            name = metric._name + ("_total" if kind == "counter" else "")  # noqa: SLF001 - the same
            labels = ", ".join(f"`{each}`" for each in metric._labelnames)  # noqa: SLF001 - the same
            text = metric._documentation.rstrip(".")  # noqa: SLF001 - the same
            place = module.__name__.partition(".")[0]
            rows.setdefault(place, set()).add(f"| `{name}` | {kind} | {labels} | {text} |\n")
    parts = [_HEAD]
    for place, heading in _PLACES.items():
        listed = "".join(sorted(rows.pop(place, ())))
        parts.append(
            f"## {heading}\n\n| metric | kind | labels | meaning |\n| - | - | - | - |\n{listed}"
        )
    if rows:
        raise LookupError(f"say in _PLACES what {', '.join(rows)} is")
    return "\n".join(parts)


def _modules() -> Iterator[ModuleType]:
    for name in PACKAGES:
        package = importlib.import_module(name)
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not found.name.startswith(LEFT_OUT):
                yield importlib.import_module(found.name)


def _metrics(module: ModuleType) -> Iterator[MetricWrapperBase]:
    """Yield a module's metrics, and those that its classes make in the registry they are given."""
    for value in vars(module).values():
        if isinstance(value, MetricWrapperBase):
            yield value
        elif (
            inspect.isclass(value)
            and value.__module__ == module.__name__
            and getattr(value.__init__, "__annotations__", {}).get("registry") is CollectorRegistry
        ):
            registry = CollectorRegistry()
            cast("Callable[[CollectorRegistry], object]", value)(registry)
            for metric in registry._collector_to_names:  # noqa: SLF001 - the same
                if isinstance(metric, MetricWrapperBase):
                    yield metric


def main() -> int:
    """Write or check; return the exit code."""
    return write_or_check(__doc__, {_FILE: page()}, remake=_REMAKE)


if __name__ == "__main__":
    sys.exit(main())
