"""What letters say, with values from people who mean no good."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import msgspec
import pytest

from domain.identity.values import FactorChange
from domain.mail.values import LINKS, PARAMETERS, Link, LinkPurpose, Template
from infrastructure.link_tokens import LinkToken
from infrastructure.link_tokens.hmac import HmacLinkTokens
from workers.mailer import PendingMail
from workers.mailer.letters import TEMPLATES, CannotBeWritten, Letter, Letters, clean

SITE = "https://tallyport.example"
NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)
TOKENS = HmacLinkTokens(b"a secret")
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% include 'layout.txt' %}",
    "a\r\nBcc: bert@example.com\r\n\r\nbody",
    "win at https://evil.example/now or www.evil.example",
    "\u202ecod.exe\u2066\u200b",
    "\0\x1b[2J\x07",
    "-- \nTallyport",
    "x" * 100_000,
    "",
    "Zoë Łukasz 北京 🎉",
)

PLAIN_LEAK = {"username": "anna", "name": "till", "prefix": "tp_live_000000000000"}


def mail(template: str, value: str = "a value", **changes: object) -> PendingMail:
    known = Template(template)
    purpose = LINKS.get(known)
    subject = "inv-0000000001" if purpose is LinkPurpose.INVITATION else "usr-0000000001"
    link = None
    if purpose is not None:
        link = Link(purpose=purpose, subject=subject, nonce="n" * 22, expires_at=NOW)
    made = PendingMail(
        mail_id="mai-0000000001",
        template=template,
        address="anna@example.com",
        parameters=dict.fromkeys((*PARAMETERS[known], "username"), value),
        link=link,
        requested_at=NOW,
    )
    return msgspec.structs.replace(made, **changes)


@pytest.fixture(scope="module")
def letters() -> Letters:
    return Letters(site_url=SITE, tokens=TOKENS)


class Page(HTMLParser):
    """What a mail program makes of the HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def addresses(letter: Letter) -> set[str]:
    """Every address that a mail program could make a link of."""
    return {
        found.rstrip(".,:")
        for text in (letter.subject, letter.text, Page(letter.html).text)
        for found in re.findall(r"\w+://\S+|\bwww\.\S+|\b\w+\.(?:example|exe)\S*", text)
    }


@pytest.mark.parametrize("template", Template)
@pytest.mark.parametrize("value", HOSTILE)
def test_no_value_changes_what_a_letter_is(letters: Letters, template: str, value: str) -> None:
    letter = letters.write(mail(template, value))
    usual = letters.write(mail(template))
    page = Page(letter.html)
    assert page.tags == Page(usual.html).tags
    assert [name for name, _ in page.attributes] == [n for n, _ in Page(usual.html).attributes]
    assert addresses(letter) == addresses(usual)
    assert letter.text.count("49") == usual.text.count("49")
    assert "\n" not in letter.subject
    assert letter.subject.isprintable()
    assert letter.text.count("\n-- \n") == 1
    assert max(len(line) for line in letter.text.splitlines()) < 400
    assert len(letter.text.splitlines()) == len(usual.text.splitlines())


@pytest.mark.parametrize("template", Template)
def test_text_and_html_say_the_same(letters: Letters, template: str) -> None:
    letter = letters.write(mail(template))
    shown = " ".join(Page(letter.html).text.split())
    told = letter.text.partition("\n-- \n")[0]
    said = [" ".join(part.split()) for part in told.split("\n\n")]
    missing = [one for one in said if one not in shown and "://" not in one]
    assert not missing
    assert letter.subject
    assert f"<title>{letter.subject}</title>" in letter.html.replace("&#34;", '"')


@pytest.mark.parametrize("template", Template)
def test_a_letter_asks_no_server_for_anything(letters: Letters, template: str) -> None:
    page = Page(letters.write(mail(template)).html)
    assert not {"img", "script", "link", "iframe", "form"} & set(page.tags)
    assert {name for name, _ in page.attributes} <= {
        *("href", "style", "lang", "charset", "name", "content")
    }
    for name, value in page.attributes:
        assert "url(" not in (value or "")
        if name == "href":
            assert (value or "").startswith(SITE)


@pytest.mark.parametrize("template", LINKS)
def test_a_link_leads_to_the_platforms_own_site_with_a_genuine_token(
    letters: Letters, template: Template
) -> None:
    letter = letters.write(mail(template))
    [url] = re.findall(rf"^{SITE}/\S+$", letter.text, re.MULTILINE)
    assert letter.html.count(url) == 2
    token = re.split(r"[=/#]", url)[-1]
    read = TOKENS.read(LINKS[template], token)
    assert isinstance(read, LinkToken)
    assert read.nonce == "n" * 22
    assert "until 2026-11-23 06:00 UTC" in letter.text


def test_who_has_no_account_is_not_greeted_by_name(letters: Letters) -> None:
    letter = letters.write(mail(Template.ERASED, parameters={}))
    assert "Hello" not in letter.text + letter.html


def test_every_change_of_how_one_signs_in_is_told_in_its_own_words(letters: Letters) -> None:
    told = {
        change: letters.write(
            mail("second_factor_changed", parameters={"username": "anna", "change": change})
        )
        for change in (*FactorChange, "something newer")
    }
    assert len({letter.text for letter in told.values()}) == len(told)
    refused = {FactorChange.PASSKEY_REFUSED, FactorChange.TRIED_OFTEN}
    assert {change for change, letter in told.items() if "refused" in letter.subject} == refused


def test_every_outcome_of_a_leak_has_its_words(letters: Letters) -> None:
    told = {
        outcome: letters.write(
            mail(Template.KEY_LEAKED, parameters={**PLAIN_LEAK, "outcome": outcome})
        ).text
        for outcome in ("revoked", "secret_ended", "still_works")
    }
    for outcome, words in (
        ("revoked", "It was revoked"),
        ("secret_ended", "The new secret goes on working"),
        ("still_works", "It still works"),
    ):
        assert [each for each, text in told.items() if words in text] == [outcome]


def test_what_cannot_be_written_is_told_apart(letters: Letters) -> None:
    unknown = msgspec.structs.replace(mail(Template.ERASED), template="no_such_template")
    outside = msgspec.structs.replace(mail(Template.ERASED), template="../letters")
    for wrong in (unknown, outside, mail(Template.KEY_LEAKED, parameters={})):
        with pytest.raises(CannotBeWritten):
            letters.write(wrong)


def test_no_template_is_without_a_mail() -> None:
    words = {path.stem for path in TEMPLATES.glob("*.html")} - {"layout"}
    assert words == set(Template)
    assert words <= {path.stem for path in TEMPLATES.glob("*.txt")}


def test_ordinary_names_stay_as_they_are() -> None:
    for name in ("Zoë Łukasz", "St. Anne", "Team 2.0", "北京", "R&D: weather", "key-1"):
        assert clean(name) == name
    assert clean("evil.example") == "evil[.]example"
    assert clean("https://1.2.3.4/x") == "https[://]1.2.3.4/x"
