"""A supervisor in a process of its own, which a test may kill. Says in one JSON line what runs."""

import asyncio
import json
import sys
from pathlib import Path

from bootstrap.embedded.home import Home
from bootstrap.embedded.parts import ProcessSpec
from bootstrap.embedded.servers import servers
from bootstrap.embedded.supervisor import Supervisor, stop_on_signals


async def run(root: Path, scripts: list[str]) -> None:
    """Run the servers, or instead the shell scripts that are given."""
    stop_event = stop_on_signals()
    home = Home.open(root)
    said: dict[str, object] = {}
    async with Supervisor(home) as supervisor:
        if scripts:
            specs = [
                ProcessSpec(name=f"part-{n}", argv=("/bin/sh", "-c", script), cwd=home.root)
                for n, script in enumerate(scripts)
            ]
        else:
            embedded = servers(home)
            specs = list(embedded.specs)
            said = {
                "postgres_url": embedded.postgres_url,
                "valkey_url": embedded.valkey_url,
                "clickhouse_url": embedded.clickhouse_url,
            }
        await supervisor.start(specs)
        said["pids"] = {name: status.pid for name, status in supervisor.status().items()}
        print(json.dumps(said), flush=True)
        await supervisor.run_until(stop_event)


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2:]))
