"""A folder as one archive."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from cli.failures import Failed
from tests.cli.archives import content


def test_the_same_files_make_the_same_bytes_whenever_they_were_written(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, names in ((one, ("a.py", "b.py")), (other, ("b.py", "a.py"))):
        folder.mkdir()
        for name in names:
            (folder / name).write_text(f"print({name!r})")
    (other / "a.py").touch()
    assert content(one) == content(other)


def test_a_program_stays_a_program(tmp_path: Path) -> None:
    (tmp_path / "start.sh").write_text("#!/bin/sh")
    (tmp_path / "start.sh").chmod(0o700)
    (tmp_path / "main.py").write_text("")
    with tarfile.open(fileobj=io.BytesIO(content(tmp_path))) as archive:
        modes = {member.name: member.mode for member in archive}
    assert modes == {"start.sh": 0o755, "main.py": 0o644}


def test_a_link_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("")
    (tmp_path / "secrets").symlink_to("/etc/hostname")
    with pytest.raises(Failed, match="secrets is a link"):
        content(tmp_path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("")
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "p")
    with pytest.raises(Failed, match="pipe/p"):
        content(tmp_path)
