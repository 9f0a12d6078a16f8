"""tallyport.toml, and what is guessed of a folder without one."""

from pathlib import Path

import pytest

from cli.failures import Failed
from cli.project import (
    Project,
    guessed_name,
    guessed_port,
    guessed_runtime,
    read_project,
    written,
)


def test_what_init_writes_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "tallyport.toml").write_text(written(name="my-api", runtime="go", port=9000))
    assert read_project(tmp_path) == Project(name="my-api", runtime="go", port=9000)


def test_a_folder_without_the_file_says_nothing(tmp_path: Path) -> None:
    assert read_project(tmp_path) == Project()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('nam = "x"', "nam: no such name"),
        ("port = '80'", "port is not a number"),
        ("port = true", "port is not a number"),
        ("public = 1", "public is not true or false"),
        ("env = 'A=1'", "env is not a table"),
        ("[env]\nA = [1]", r"env\.A is not a text"),
        ("port = = 1", "tallyport.toml"),
    ],
)
def test_what_it_may_not_say_is_named(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "tallyport.toml").write_text(text)
    with pytest.raises(Failed, match=why):
        read_project(tmp_path)


def test_numbers_are_variables_too(tmp_path: Path) -> None:
    (tmp_path / "tallyport.toml").write_text("[env]\nA = 1\nB = 'x'")
    assert read_project(tmp_path).env == {"A": "1", "B": "x"}


@pytest.mark.parametrize(
    ("files", "runtime"),
    [
        ({"main.py"}, "python"),
        ({"package.json", "index.js"}, "node"),
        ({"go.mod", "main.go"}, "go"),
        ({"main.py", "go.mod"}, None),
        ({"README.md"}, None),
    ],
)
def test_the_runtime_is_seen_from_the_files(files: set[str], runtime: str | None) -> None:
    assert guessed_runtime(files) == runtime


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("My API (v2)", "my-api-v2"),
        ("2fast", "fast"),
        ("x", None),
        ("---", None),
        ("a" * 60, "a" * 40),
    ],
)
def test_a_folder_gives_its_name_if_it_can_be_one(
    tmp_path: Path, folder: str, name: str | None
) -> None:
    (tmp_path / folder).mkdir()
    assert guessed_name(tmp_path / folder) == name


def test_the_port_is_the_one_a_dockerfile_names(tmp_path: Path) -> None:
    assert guessed_port(tmp_path) == 8080
    (tmp_path / "Dockerfile").write_text("FROM x\nexpose 5000/tcp\n")
    assert guessed_port(tmp_path) == 5000
