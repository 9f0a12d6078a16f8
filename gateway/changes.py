"""The difference between what a worker has and what it should have, as Runtime API commands.

Pure, and safe in any order of failure: what takes a right away comes first, and a server is there
before a route leads to it.
"""

from collections.abc import Iterator, Mapping

from gateway.runtime import WorkerState

_ADDED_PER_COMMAND = 60
"""The lines of one `add map` have to fit into one of HAProxy's buffers (16 KiB)."""


def map_changes(name: str, has: Mapping[str, str], wants: Mapping[str, str]) -> Iterator[str]:
    """Yield the commands that turn one map into another."""
    path = f"map current/{name}"
    for key in has.keys() - wants.keys():
        yield f"del {path} {key}"
    for key in has.keys() & wants.keys():
        if has[key] != wants[key]:
            yield f"set {path} {key} {wants[key]}"
    added = [f"{key} {value}" for key, value in wants.items() if key not in has]
    for start in range(0, len(added), _ADDED_PER_COMMAND):
        lines = "\n".join(added[start : start + _ADDED_PER_COMMAND])
        yield f"add {path} <<\n{lines}\n"


def server_changes(
    state: WorkerState, wants: Mapping[str, Mapping[str, str]], server_options: str
) -> Iterator[str]:
    """Yield the commands for the servers of every backend the worker has.

    New ones come before old ones go: requests are served between two commands, too. A backend
    that nobody wants any more keeps no server; the next reload removes it.
    """
    for backend in state.servers.keys() | state.aside.keys():
        has, aside = state.servers.get(backend, {}), state.aside.get(backend, set())
        wanted = wants.get(backend, {})
        for name, place in wanted.items():
            server = f"{backend}/{name}"
            if name in aside:
                yield _move(server, place)
                yield f"set server {server} state ready"
            elif name not in has:
                yield f"add server {server} {place} {server_options}"
                yield f"enable health {server}"
                yield f"enable server {server}"
            elif has[name] != place:
                yield _move(server, place)
        for name in has.keys() - wanted.keys():
            yield f"set server {backend}/{name} state maint"


def apply_servers(state: WorkerState, wants: Mapping[str, Mapping[str, str]]) -> None:
    """Remember what the worker has once it took `server_changes`."""
    for backend in state.servers.keys() | state.aside.keys():
        wanted = dict(wants.get(backend, {}))
        aside = state.aside.get(backend, set()) | set(state.servers.get(backend, {}))
        state.servers[backend] = wanted
        state.aside[backend] = aside - wanted.keys()


def _move(server: str, place: str) -> str:
    address, _, port = place.rpartition(":")
    return f"set server {server} addr {address.strip('[]')} port {port}"
