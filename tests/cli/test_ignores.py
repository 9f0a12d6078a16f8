"""What of a folder is uploaded, asked of git itself where it can say."""

import subprocess
from pathlib import Path

import pytest

from cli.failures import Failed
from cli.packing import names_in
from tests.cli.archives import members

FILES = (
    "main.py",
    "notes.txt",
    "keep.log",
    "debug.log",
    "src/app.py",
    "src/debug.log",
    "src/build/out.bin",
    "build/out.bin",
    "docs/a/b/c.md",
    "docs/c.md",
    "data/1.csv",
    "data/2.csv",
    "data/x.csv",
    "with space .txt",
    "#odd",
    "!odd",
    "a[1].txt",
)


def tree(folder: Path, patterns: str) -> None:
    for name in FILES:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    (folder / ".gitignore").write_text(patterns)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    tree(folder, "")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


@pytest.mark.parametrize(
    "patterns",
    [
        "*.log",
        "*.log\n!keep.log",
        "build/",
        "/build/",
        "/build",
        "src/build",
        "docs/**/c.md",
        "**/c.md",
        "docs/**",
        "docs/*",
        "docs/*\n!docs/c.md",
        "data/[12].csv",
        "data/[!12].csv",
        "data/?.csv",
        "# only a comment\n\n   \n",
        "\\#odd\n\\!odd",
        "with space .txt",
        "a\\[1\\].txt",
        "*\n!*/\n!*.py",
        "out.bin",
        "src",
    ],
)
def test_the_patterns_mean_what_they_mean_to_git(repository: Path, patterns: str) -> None:
    (repository / ".gitignore").write_text(patterns)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--others", "--exclude-standard"],
        cwd=repository,
        check=True,
        capture_output=True,
        text=True,
    )
    wanted = sorted(name for name in listed.stdout.split("\0") if name)
    assert members(repository) == wanted


def test_what_is_never_code_stays_here_unless_it_is_asked_for(tmp_path: Path) -> None:
    tree(tmp_path, "")
    for name in (".env", ".env.example", "node_modules/x.js", ".venv/y", "tallyport.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("secret")
    packed = members(tmp_path)
    assert ".env.example" in packed
    assert not {".env", "node_modules/x.js", ".venv/y", "tallyport.toml"} & set(packed)

    (tmp_path / ".tallyportignore").write_text("!.env\ndocs/\n")
    packed = members(tmp_path)
    assert ".env" in packed
    assert "docs/c.md" not in packed


def test_what_the_top_of_a_folder_has_is_told_without_what_is_ignored(tmp_path: Path) -> None:
    tree(tmp_path, "*.txt")
    assert {"main.py", "keep.log"} <= names_in(tmp_path)
    assert "notes.txt" not in names_in(tmp_path)


def test_a_folder_with_nothing_to_send_is_said_to_have_none(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*")
    with pytest.raises(Failed, match="nothing to deploy"):
        members(tmp_path)
