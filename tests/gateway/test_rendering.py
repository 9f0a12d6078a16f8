"""Rendering step by step is rendering whole."""

from datetime import UTC, datetime

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.changes import map_changes
from gateway.configuration import (
    ADDRESSES,
    GRANTS,
    KEYS,
    GatewayOptions,
    Host,
    Key,
    Rendered,
    Replica,
    Route,
    RoutingTable,
    render,
)
from gateway.rendering import Renderer, Step

OPTIONS = GatewayOptions()
ROUTES = st.builds(
    Route,
    deployment_id=st.sampled_from(["dpl-1", "dpl-2", "refused"]),
    team_id=st.just("org-1"),
    app_name=st.sampled_from(["shop", "open", "no name"]),
    replicas=st.sampled_from([(), (Replica("rep-1", "127.0.0.1", 80),)]),
)


def keys_of(numbers: st.SearchStrategy[int]) -> st.SearchStrategy[Key]:
    # Two secrets may be of one key, as after a rotation; no two secrets have one hash.
    return st.builds(
        lambda number, **fields: Key(
            key_id=f"key-{number // 2}", secret_hash=f"{number:064x}", **fields
        ),
        number=numbers,
        team_id=st.sampled_from(["org-1", "no team"]),
        scopes=st.sets(st.sampled_from(["call:*", "call:dpl-1", "call:dpl-2", "x"])).map(tuple),
        requests_per_minute=st.integers(-1, 9),
        expires_at=st.sampled_from([None, datetime(2027, 1, 1, tzinfo=UTC)]),
        allowed_cidrs=st.sets(
            st.sampled_from(["10.0.0.0/9", "10.0.0.0/8", "fd00::/8", "nonsense"])
        ).map(tuple),
    )


TABLES = st.builds(
    RoutingTable,
    routes=st.lists(ROUTES, max_size=3).map(tuple),
    hosts=st.lists(
        st.builds(
            Host,
            name=st.sampled_from(["www.example.com", "example.org", "no name"]),
            deployment_id=st.sampled_from(["dpl-1", "dpl-2", "dpl-3"]),
        ),
        max_size=3,
    ).map(tuple),
    keys=st.lists(
        keys_of(st.integers(0, 7)), max_size=8, unique_by=lambda key: key.secret_hash
    ).map(tuple),
)


def kept(table: RoutingTable, before: RoutingTable) -> RoutingTable:
    """Return a table whose unchanged rows are the same objects, as the source hands them over."""
    known = {key: key for key in before.keys}
    return msgspec.structs.replace(table, keys=tuple(known.get(key, key) for key in table.keys))


def after_commands(has: Rendered, step: Step, name: str) -> dict[str, str]:
    """Return what a worker has that took only the touched entries' commands."""
    touched, wants = step.touched[name], step.after.maps[name]
    old = {key: value for key, value in has.maps[name].items() if key in touched}
    new = {key: value for key, value in wants.items() if key in touched}
    worker = dict(has.maps[name])
    for command in map_changes(name, old, new):
        head, _, lines = command.partition("\n")
        match head.split(" ", 4):
            case ["del", _, _, key]:
                del worker[key]
            case ["set", _, _, key, value]:
                worker[key] = value
            case _:
                worker |= dict(line.split(" ", 1) for line in lines.splitlines())
    return worker


@settings(max_examples=200, deadline=None)
@given(tables=st.lists(TABLES, min_size=1, max_size=6))
def test_a_table_rendered_after_others_is_the_table_rendered_alone(
    tables: list[RoutingTable],
) -> None:
    renderer = Renderer(OPTIONS)
    before = RoutingTable()
    worker: Rendered | None = None
    for table in tables:
        now = kept(table, before)
        step = renderer.step(now, metering="on")
        whole = render(now, OPTIONS)
        assert step.before is worker
        assert step.after.maps == whole.maps
        assert step.after.servers == whole.servers
        assert step.after.config == whole.config
        assert sorted(step.after.rejected) == sorted(whole.rejected)
        if worker is not None:
            for name in (KEYS, GRANTS, ADDRESSES):
                assert after_commands(worker, step, name) == whole.maps[name]
        worker, before = step.after, now


def test_a_table_that_did_not_change_touches_nothing() -> None:
    renderer = Renderer(OPTIONS)
    key = Key(key_id="key-1", team_id="org-1", secret_hash="ab" * 32, requests_per_minute=1)
    first = renderer.step(RoutingTable(keys=(key,)), metering="on")
    second = renderer.step(RoutingTable(keys=(key,)), metering="on")
    assert second.after.maps[KEYS] is first.after.maps[KEYS]
    assert not any(second.touched.values())
