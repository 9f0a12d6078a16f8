"""Variables from options and files."""

from pathlib import Path

import pytest

from cli.failures import Failed
from cli.variables import variables_of


def test_options_go_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "vars"
    file.write_text(
        "# comment\n\nA=1\nexport B = two words # and a comment\nC='a # b'\nD=\"x\\ny\"\nE=\n"
    )
    assert variables_of(["A=9", "F=a=b"], file) == {
        "A": "9",
        "B": "two words",
        "C": "a # b",
        "D": "x\ny",
        "E": "",
        "F": "a=b",
    }


def test_nothing_named_is_not_an_empty_set_of_variables() -> None:
    assert variables_of([], None) is None


@pytest.mark.parametrize("text", ["A", "=1", "1A=2", "A B=1"])
def test_what_is_no_variable_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(Failed, match="NAME=VALUE"):
        variables_of([text], None)
    file = tmp_path / "vars"
    file.write_text(f"OK=1\n{text}\n")
    with pytest.raises(Failed, match="vars:2"):
        variables_of([], file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="gone"):
        variables_of([], tmp_path / "gone")
