"""The same as `configuration.render`, for one table after another: only what changed costs.

Rows are compared by identity: a source that hands over the same object says that it did not change.
"""

from collections.abc import Mapping

import msgspec

from gateway.configuration import (
    ADDRESSES,
    FLAGS,
    GRANTS,
    HOSTS,
    KEYS,
    ROUTES,
    GatewayOptions,
    Key,
    KeyEntries,
    Rendered,
    RoutingTable,
    key_entries,
    render_config,
    render_hosts,
    render_routes,
)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """From what was rendered before to what is now."""

    before: Rendered | None
    after: Rendered
    touched: Mapping[str, set[str]]
    """By map: all entries that may differ. A map that is not named is compared as a whole."""


class Renderer:
    """Renders the tables of one gateway."""

    def __init__(self, options: GatewayOptions) -> None:
        self._config = render_config(options)
        self._rows: dict[int, Key] = {}
        self._entries: dict[int, KeyEntries] = {}
        self._rejected: dict[int, str] = {}
        self._of_key: dict[str, set[int]] = {}
        self._rendered: Rendered | None = None

    def step(self, table: RoutingTable, *, metering: str) -> Step:
        """Render a table. Equal to rendering it whole, when no two keys have the same hash."""
        before = self._rendered
        routes = render_routes(table.routes, table.closures)
        hosts, refused_hosts = render_hosts(table.hosts, routes.entries)
        touched, wanted = self._take({id(key): key for key in table.keys})
        keys = {
            name: _changed({} if before is None else before.maps[name], touched[name], wanted[name])
            for name in touched
        }
        self._rendered = Rendered(
            config=self._config,
            servers=routes.servers,
            draining=routes.draining,
            versions=routes.versions,
            maps={
                ROUTES: routes.entries,
                HOSTS: hosts,
                **keys,
                FLAGS: {"metering": metering},
            },
            rejected=(*routes.rejected, *refused_hosts, *self._rejected.values()),
        )
        return Step(before=before, after=self._rendered, touched=touched)

    def _take(self, rows: dict[int, Key]) -> tuple[dict[str, set[str]], dict[str, dict[str, str]]]:
        """Remember the rows; return which entries changed, and what those now are, by map."""
        gone, come = self._rows.keys() - rows.keys(), rows.keys() - self._rows.keys()
        key_ids = {self._rows[row].key_id for row in gone} | {rows[row].key_id for row in come}
        touched: dict[str, set[str]] = {KEYS: set(), GRANTS: set(), ADDRESSES: set()}
        wanted: dict[str, dict[str, str]] = {KEYS: {}, GRANTS: {}, ADDRESSES: {}}
        for row in gone:
            self._forget(row, touched)
        for row in come:
            self._remember(row, rows[row])
        # Two secrets of one key share what the key may do, so a key is looked at as a whole.
        for key_id in key_ids:
            for row in self._of_key.get(key_id, ()):
                if row in self._entries:
                    _add(self._entries[row], wanted)
        for name, entries in wanted.items():
            touched[name].update(entries)
        self._rows = rows
        return touched, wanted

    def _forget(self, row: int, touched: dict[str, set[str]]) -> None:
        key_id = self._rows[row].key_id
        self._rejected.pop(row, None)
        self._of_key[key_id].discard(row)
        if not self._of_key[key_id]:
            del self._of_key[key_id]
        entries = self._entries.pop(row, None)
        if entries is not None:
            touched[KEYS].add(entries.hash)
            touched[GRANTS].update(entries.grants)
            touched[ADDRESSES].update(entries.addresses)

    def _remember(self, row: int, key: Key) -> None:
        self._of_key.setdefault(key.key_id, set()).add(row)
        try:
            self._entries[row] = key_entries(key)
        except ValueError as error:
            self._rejected[row] = str(error)


def _add(entries: KeyEntries, wanted: dict[str, dict[str, str]]) -> None:
    wanted[KEYS][entries.hash] = entries.entry
    wanted[GRANTS].update(entries.grants)
    wanted[ADDRESSES].update(entries.addresses)


def _changed(has: dict[str, str], touched: set[str], wanted: dict[str, str]) -> dict[str, str]:
    if not touched:
        return has  # the same object: whoever has it needs not even compare
    changed = dict(has)
    for name in touched - wanted.keys():
        changed.pop(name, None)
    changed.update(wanted)
    return changed
