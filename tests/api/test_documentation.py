"""The documentation as pages; that its commands are true is shown in `tests/cli`."""

import re

import pytest

from api.documentation import documents
from tests.api.conftest import Api
from tests.architecture.source_tree import ROOT

REFERENCES = {"/help/errors/", "/help/decisions/", "/help/security/"}
"""Folders of which only the first page is in the list."""


def test_every_link_between_documents_leads_to_a_heading_that_is_there() -> None:
    anchors = {
        path: {part.anchor for part in documents.document(path).parts} for path in documents.files()
    }
    broken = [
        f"{path} -> {link}"
        for path in documents.files()
        for link in documents.document(path).links
        for to, _, anchor in [link.partition("#")]
        if to not in anchors or (anchor and anchor not in anchors[to])
    ]
    assert not broken


def test_every_document_is_in_the_list() -> None:
    listed = {entry.path for group in documents.groups() for entry in group.entries}
    left_out = {
        path
        for path in documents.files().keys() - listed - {documents.ROOT}
        if not any(path.startswith(each) for each in REFERENCES)
    }
    assert not left_out, "Give it a line in docs/README.md"
    assert listed <= documents.files().keys()


async def test_a_document_is_a_page_without_scripts(api: Api) -> None:
    answer = await api.client.get("/help/settings")
    assert answer.status_code == 200
    [policy] = answer.headers.get_list("content-security-policy")
    assert policy.startswith("default-src 'none'; style-src 'self';")
    assert "script" not in policy
    assert "<script" not in answer.text
    assert ' style="' not in answer.text
    assert '<h1 id="settings">Settings</h1>' in answer.text
    assert '<a href="/help/settings" aria-current="page">Settings</a>' in answer.text
    for name in re.findall(r'"/static/([^"]+)"', answer.text):
        assert (await api.client.get(f"/static/{name}")).status_code == 200


async def test_a_link_leads_to_a_page_and_none_out_of_the_documentation(api: Api) -> None:
    page = (await api.client.get("/help/domains")).text
    assert '<a href="/help/operations#tls">' in page
    page = (await api.client.get("/help/security")).text
    assert "<span>Reporting a hole</span>" in page


async def test_words_are_found_where_they_stand(api: Api) -> None:
    page = (await api.client.get("/help/search", params={"q": "custom DOMAINS"})).text
    first = re.search(r'class="found">\s*<li><a href="([^"]+)"', page)
    assert first is not None
    assert first[1] == "/help/domains#custom-domains"
    assert (
        "Nothing has all of" in (await api.client.get("/help/search", params={"q": "zyxwvut"})).text
    )
    assert "Type words" in (await api.client.get("/help/search")).text


@pytest.mark.parametrize("words", ["<script>alert(1)</script>", '"><img src=x>', "x" * 5000, "\0%"])
async def test_what_is_searched_for_is_shown_as_text(api: Api, words: str) -> None:
    answer = await api.client.get("/help/search", params={"q": words})
    assert answer.status_code == 200
    assert "<script" not in answer.text
    assert "<img" not in answer.text
    assert "x" * 101 not in answer.text


@pytest.mark.parametrize("path", ["nope", "README", "errors/nope", "../README", "..%2f..%2fREADME"])
async def test_what_is_no_document_is_told_so(api: Api, path: str) -> None:
    answer = await api.client.get(f"/help/{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_html_in_a_document_is_shown_and_not_obeyed() -> None:
    assert documents.FOLDER == ROOT / "docs"
    assert "<b>" not in documents._MARKDOWN.render("<b>bold</b> <script>x</script>")
