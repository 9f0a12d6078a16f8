import socket
from pathlib import Path

from bootstrap.embedded.home import Home
from bootstrap.embedded.ports import LOOPBACK, assign_ports, remembered_ports


def test_ports_are_kept_over_a_restart(home: Home) -> None:
    first = assign_ports(home, ["postgres", "valkey"])
    assert len(set(first.values())) == 2
    assert assign_ports(Home.open(home.root), ["valkey", "postgres"]) == first


def test_a_later_name_does_not_move_the_others(home: Home) -> None:
    first = assign_ports(home, ["postgres"])
    assign_ports(home, ["kafka"])
    assert assign_ports(home, ["postgres", "kafka"])["postgres"] == first["postgres"]


def test_a_remembered_port_that_somebody_took_is_replaced(home: Home) -> None:
    ports = assign_ports(home, ["postgres", "valkey"])
    with socket.socket() as somebody:
        somebody.bind((LOOPBACK, ports["postgres"]))
        somebody.listen()
        again = assign_ports(home, ["postgres", "valkey"])
    assert again["postgres"] != ports["postgres"]
    assert again["valkey"] == ports["valkey"]


def test_a_damaged_memory_is_no_memory(home: Home) -> None:
    for damage in ('{"postgres": 2', "[]", '{"postgres": "x"}', ""):
        (home.run / "ports.json").write_text(damage)
        assert assign_ports(home, ["postgres"])["postgres"] > 0


def test_two_homes_have_different_ports(tmp_path: Path) -> None:
    names = ["postgres", "valkey", "clickhouse", "kafka"]
    one = assign_ports(Home.open(tmp_path / "one"), names)
    other = assign_ports(Home.open(tmp_path / "other"), names)
    assert not set(one.values()) & set(other.values())


def test_where_a_server_runs_is_remembered_while_it_holds_its_port(home: Home) -> None:
    assert remembered_ports(home) == {}
    ports = assign_ports(home, ["postgres"])
    with socket.socket() as server:
        server.bind((LOOPBACK, ports["postgres"]))
        server.listen()
        assert remembered_ports(home) == ports
