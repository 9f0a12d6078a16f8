"""Every setting, read once at the start. The only module that reads the environment.

`load` turns the environment into one frozen tree or names everything that is wrong with it. A
variable that is empty counts as not set. `docs/settings.md` and `.env.example` are written from
the same fields by `bootstrap/settings_reference.py`.
"""

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar
from urllib.parse import urlsplit

from bootstrap import setting_kinds as kinds
from bootstrap.setting_kinds import Declaration
from bootstrap.setting_sections import Settings

__all__ = ["Settings", "SettingsError", "declarations", "given", "load", "unknown_names"]

T = TypeVar("T")

PREFIX = "TALLYPORT_"
NOT_OURS = ("TALLYPORT_VENV", "TALLYPORT_REQUIRE_", "TALLYPORT_URL", "TALLYPORT_API_KEY")
"""Read by the scripts in bin/, by the tests, and by the command line of people (`cli/`)."""


class SettingsError(Exception):
    """One or more settings have values that cannot be used; `problems` has a line for each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(["Tallyport cannot start with these settings:", *problems]))


def load(
    environ: Mapping[str, str] | None = None, *, overrides: Mapping[str, str] | None = None
) -> Settings:
    """Read the settings from the environment; raise `SettingsError` with all that is wrong.

    `overrides` holds variables that were given in another way, by an option on the command line.
    """
    environ = {**(os.environ if environ is None else environ), **(overrides or {})}
    problems: list[str] = []
    own = _read(Settings, environ, problems)
    settings = replace(
        own,
        **{
            name: _read(type(section), environ, problems)
            for name, section in _sections(own).items()
        },
    )
    problems += _contradictions(settings)
    if problems:
        raise SettingsError(problems)
    return _derived(settings)


def given(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables of ours as they are, to hand them to a child process."""
    environ = os.environ if environ is None else environ
    names = {declared.name for _, declared in declarations()}
    return {name: text for name, text in environ.items() if name in names}


def unknown_names(environ: Mapping[str, str] | None = None) -> list[str]:
    """Return a line for each TALLYPORT_ variable that nobody reads: most often a typing mistake."""
    environ = os.environ if environ is None else environ
    known = [declared.name for _, declared in declarations()]
    lines = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known and not name.startswith(NOT_OURS):
            near = difflib.get_close_matches(name, known, n=1)
            lines.append(
                f"{name}: no such setting" + (f"; did you mean {near[0]}?" if near else "")
            )
    return lines


def declarations() -> Iterator[tuple[str, Declaration]]:
    """Yield every setting with the heading it stands under, in the order of the reference."""
    yield from (("Everything", declared) for _, declared in _declared(Settings))
    for section in _sections(Settings()).values():
        heading = (type(section).__doc__ or "").rstrip(".")
        yield from ((heading, declared) for _, declared in _declared(type(section)))


def _sections(settings: Settings) -> dict[str, Any]:
    """Return the sections by name: every field that is not itself a setting."""
    own = dict(_declared(Settings))
    return {f.name: getattr(settings, f.name) for f in fields(settings) if f.name not in own}


def _declared(section: type[Any]) -> Iterator[tuple[str, Declaration]]:
    for one in fields(section):
        if "declared" in one.metadata:
            yield one.name, one.metadata["declared"]


def _read(section: type[T], environ: Mapping[str, str], problems: list[str]) -> T:
    values: dict[str, Any] = {}
    for field_name, declared in _declared(section):
        text = environ.get(declared.name, "").strip()
        if text:
            try:
                values[field_name] = declared.kind.parse(text)
            except ValueError as error:
                got = "" if declared.secret else f" (it is {text[:80]!r})"
                problems.append(f"  {declared.name} [{declared.kind.name}]: {error}{got}")
    return section(**values)


def _contradictions(settings: Settings) -> Iterator[str]:
    if settings.parts.database_owner_url and not settings.parts.database_url:
        yield "  TALLYPORT_DATABASE_OWNER_URL: is set, but TALLYPORT_DATABASE_URL is not"
    if settings.tls.api_port and settings.tls.api_certificate is None:
        yield "  TALLYPORT_API_TLS_PORT: is set, but TALLYPORT_API_CERTIFICATE is not"
    if settings.sessions.refresh_idle_days > settings.sessions.refresh_days_max:
        yield "  TALLYPORT_REFRESH_IDLE_DAYS: is more than TALLYPORT_REFRESH_DAYS_MAX"


def _sender_at(api_url: str) -> str:
    """Return whom letters come from when nobody said so. An address in digits is no mail domain."""
    host = urlsplit(api_url).hostname or ""
    is_name = kinds.HOST_NAME.fullmatch(host) and not host.replace(".", "").isdigit()
    return f"Tallyport <no-reply@{host if is_name else 'localhost'}>"


def _derived(settings: Settings) -> Settings:
    api, gateway = settings.api, settings.gateway
    api_url = api.public_url or f"http://localhost:{api.port}"
    gateway_url = gateway.public_url or f"http://{gateway.apps_domain}:{gateway.port}"
    return replace(
        settings,
        api=replace(api, public_url=api_url),
        mail=replace(settings.mail, sender=settings.mail.sender or _sender_at(api_url)),
        gateway=replace(gateway, public_url=gateway_url),
    )
