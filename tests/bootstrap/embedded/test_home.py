import os
import socket
from pathlib import Path

import pytest

from bootstrap.embedded.home import Home, HomeError, write_private


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_home_is_private(home: Home) -> None:
    folders = (home.root, home.data, home.run, home.logs, home.secrets)
    assert [mode(folder) for folder in folders] == [0o700] * 5


def test_a_folder_that_was_there_keeps_its_own_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    Home.open(tmp_path)
    assert mode(tmp_path) == 0o755


def test_a_secret_is_made_once_and_only_the_owner_reads_it(home: Home) -> None:
    secret = home.secret("postgres")
    assert len(secret) >= 43
    assert home.secret("postgres") == secret == Home.open(home.root).secret("postgres")
    assert home.secret("valkey") != secret
    assert mode(home.secret_file("postgres")) == 0o600
    assert sorted(path.name for path in home.secrets.iterdir()) == ["postgres", "valkey"]


def test_of_two_who_make_a_secret_the_first_wins(home: Home) -> None:
    path = home.secret_file("shared")
    write_private(path, "first", replace=False)
    write_private(path, "second", replace=False)
    assert home.secret("shared") == "first"


def test_a_home_of_another_user_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    with pytest.raises(HomeError, match="belongs to user id"):
        Home.open(home.root)


def test_a_home_below_a_file_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HomeError, match=r"cannot use .*file/home as TALLYPORT_HOME"):
        Home.open(tmp_path / "file" / "home")


@pytest.mark.parametrize("depth", [0, 30])
def test_a_socket_can_be_bound_however_deep_the_home_is(tmp_path: Path, depth: int) -> None:
    home = Home.open(tmp_path.joinpath(*["deep folder"] * depth))
    path = home.socket("master.sock")
    assert path == home.socket("master.sock")
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path) + ".123456.tmp")
    finally:
        for left in path.parent.glob("master.sock*"):
            left.unlink()
        if path.parent != home.run:
            path.parent.rmdir()


def test_a_folder_for_sockets_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    home = Home.open(tmp_path.joinpath(*["deep folder"] * 30))
    folder = home.socket("master.sock").parent
    try:
        folder.chmod(0o755)
        with pytest.raises(HomeError, match="not a private folder"):
            home.socket("master.sock")
    finally:
        folder.rmdir()
