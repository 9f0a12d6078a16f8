"""What a mail says: text and HTML from the same few values, and the link.

Templates are files beside this one; `<name>.txt` begins with the subject. Every value that a person
chose is cleaned first: no line ends or invisible characters, not long, and nothing that a mail
program makes a link of, so that nobody can send their own message to a stranger through us.
"""

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import jinja2
import msgspec

from domain.mail.values import Link, LinkPurpose
from infrastructure.link_tokens import LinkTokens
from workers.mailer import PendingMail

TEMPLATES = Path(__file__).parent / "templates"
LENGTH_MAX = 80
PATHS: Mapping[LinkPurpose, str] = {
    LinkPurpose.VERIFY_EMAIL: "/verify-email#{}",
    LinkPurpose.RESET_PASSWORD: "/reset-password#{}",
    LinkPurpose.INVITATION: "/invitations/{}",
}
"""Where a link leads, on the platform's own site."""

_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
_LINK_LIKE = re.compile(r"[.\u3002](?=[^\W\d_])|://")


class CannotBeWritten(Exception):
    """There is no such template, or a value it needs is missing."""


class Letter(msgspec.Struct, frozen=True):
    """A mail ready to be read."""

    subject: str
    text: str
    html: str


class Letters:
    """Writes letters. `site_url` comes from the settings, never from a request."""

    def __init__(self, *, site_url: str, tokens: LinkTokens) -> None:
        self._site_url = site_url
        self._tokens = tokens
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES),
            autoescape=jinja2.select_autoescape(("html",)),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def write(self, mail: PendingMail) -> Letter:
        """Return the letter; raises `CannotBeWritten`."""
        values: dict[str, object] = {
            "username": None,
            **{name: clean(text) for name, text in mail.parameters.items()},
            "site_url": self._site_url,
        }
        if mail.link is not None:
            values["link"] = self._url(mail.link)
            values["link_ends_at"] = _moment(mail.link.expires_at)
        try:
            subject, _, text = self._render(f"{mail.template}.txt", values).partition("\n")
            html = self._render(f"{mail.template}.html", {**values, "subject": subject})
        except jinja2.TemplateError as error:
            raise CannotBeWritten(type(error).__name__) from error
        return Letter(subject.strip(), text.strip() + "\n", html)

    def _url(self, link: Link) -> str:
        token = self._tokens.issue(link.purpose, link.subject, link.nonce)
        return self._site_url + PATHS[link.purpose].format(token)

    def _render(self, name: str, values: Mapping[str, object]) -> str:
        return self._environment.get_template(name).render(values)


def clean(text: str) -> str:
    """Return one short line in which nothing hides and nothing is a link."""
    plain = unicodedata.normalize("NFKC", text[: 10 * LENGTH_MAX])
    visible = "".join(" " if unicodedata.category(c) in _INVISIBLE else c for c in plain)
    line = " ".join(visible.split()) or "?"
    if len(line) > LENGTH_MAX:
        line = line[: LENGTH_MAX - 3] + "..."
    return _LINK_LIKE.sub(lambda found: f"[{found[0]}]", line)


def _moment(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
