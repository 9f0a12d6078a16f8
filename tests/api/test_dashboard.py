"""The web pages as the API serves them; `tests/dashboard` opens them in a browser."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from api import dashboard
from tests.api.conftest import Api

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Pages as a build leaves them, but small."""
    assets = tmp_path / "assets"
    assets.mkdir()
    (tmp_path / "index.html").write_text("<title>built</title>")
    (assets / "index-1a.js").write_text("let it = 'be';")
    (assets / "index-1a.js.gz").write_bytes(gzip.compress(b"let it = 'be';"))
    (assets / "secret.txt").write_text("no page")
    monkeypatch.setattr(dashboard, "FOLDER", tmp_path)
    dashboard._assets.cache_clear()
    yield tmp_path
    dashboard._assets.cache_clear()


@pytest.mark.usefixtures("built")
async def test_every_page_is_the_same_document_and_never_kept(api: Api) -> None:
    for path in ("/", "/sign-in", "/deployments/dpl-0a1b2c3d4e/logs", "/invitations/x"):
        answer = await api.client.get(path, headers=HTML)
        assert (answer.status_code, answer.text) == (200, "<title>built</title>"), path
        assert answer.headers.get_list("cache-control") == ["no-cache"]
        [policy] = answer.headers.get_list("content-security-policy")
        assert policy.startswith("default-src 'self'; connect-src 'self' http://*.apps.localhost")
        assert "unsafe" not in policy


@pytest.mark.usefixtures("built")
async def test_what_is_no_page_is_told_so_as_always(api: Api) -> None:
    for path in (
        "/nope",
        "/v1/nope",
        "/deployments/a/b/c",
        "/assets/nope.js",
        "/assets/secret.txt",
    ):
        answer = await api.client.get(path, headers=HTML)
        assert answer.status_code == 404, path
        assert answer.headers["content-type"] == "application/problem+json", path
    for path in ("/", "/deployments"):
        answer = await api.client.get(path, headers={"Accept": "application/json"})
        assert answer.json()["error"]["code"] == "not_found", path


@pytest.mark.usefixtures("built")
async def test_an_asset_is_kept_for_ever_and_comes_compressed(api: Api) -> None:
    for accepted, encoding in (("br, gzip", "gzip"), ("identity", None)):
        headers = {"Accept-Encoding": accepted}
        answer = await api.client.get("/assets/index-1a.js", headers=headers)
        assert answer.text == "let it = 'be';"
        assert answer.headers.get("content-encoding") == encoding
        assert answer.headers.get_list("cache-control") == [dashboard.FOR_EVER]
        assert answer.headers["content-type"].startswith("text/javascript")


async def test_before_it_is_built_the_first_page_says_how(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "FOLDER", tmp_path)
    answer = await api.client.get("/", headers=HTML)
    assert answer.status_code == 200
    assert "bin/dashboard" in answer.text
