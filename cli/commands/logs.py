"""What containers wrote."""

import json as json_module
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import names
from cli.connection import connect
from cli.failures import ExitCode, Failed
from cli.options import Deployment, Json
from cli.terminal import json_text, put, put_json, say
from cli.times import moment_of

if TYPE_CHECKING:
    from cli.client import Client

RECONNECT_SECONDS = 1.0
TAIL_MAX = 5000
Line = dict[str, Any]


def logs(
    deployment: Deployment,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines.")] = False,
    tail: Annotated[
        int, typer.Option("--tail", "-n", min=1, max=TAIL_MAX, help="How many of the last lines.")
    ] = 100,
    since: Annotated[str | None, typer.Option(help="Not before: a time, or so long ago.")] = None,
    until: Annotated[str | None, typer.Option(help="Not after: a time, or so long ago.")] = None,
    search: Annotated[str | None, typer.Option(help="Only lines with this in them.")] = None,
    json: Json = False,
) -> None:
    """Show what a deployment's containers wrote; with -f go on with what they write."""
    if follow and until:
        raise Failed("What is followed has no end: --until and -f contradict.", code=ExitCode.USAGE)
    with connect() as api:
        path = f"/deployments/{names.deployment_id(api, deployment)}/logs"
        query = {"tail": tail, "since": moment_of(since), "search": search}
        if not follow:
            answer = api.get(path, until=moment_of(until), **query)
            if json:
                put_json(answer)
                return
            for line in answer["logs"]:
                put(_text(line))
            if not answer["logs"]:
                say("There are no lines.")
            return
        for line in _followed(api, path, query):
            if json:
                put(json_text(line))
            else:
                put(_text(line))


def _followed(api: "Client", path: str, query: dict[str, Any]) -> Iterator[Line]:
    """Yield lines for as long as somebody reads, over as many connections as it takes."""
    import httpx  # noqa: PLC0415 - so that help and completion are quick

    from cli.client import unreachable  # noqa: PLC0415 - the same

    begun = False
    last, told = query["since"], set[tuple[str, str, str]]()
    while True:
        try:
            asked = query if not begun else {**query, "since": last, "tail": TAIL_MAX}
            with api.followed(path, follow=True, **asked) as answer:
                refusal = api.refusal_of(answer)
                if refusal is not None and (refusal.code is not ExitCode.UNAVAILABLE or not begun):
                    raise refusal
                begun = True
                for text in answer.iter_lines() if refusal is None else ():
                    line: Line = json_module.loads(text)
                    about = (line["timestamp"], line["replica"], line["message"])
                    if about in told:
                        continue
                    if line["timestamp"] != last:
                        last, told = line["timestamp"], set()
                    told.add(about)
                    yield line
        except httpx.TransportError as error:
            if not begun:
                raise unreachable(api.url, error) from error
        # The server ends what it was following for very long, and restarts.
        time.sleep(RECONNECT_SECONDS)


def _text(line: Line) -> str:
    where = line["replica"].rpartition("-")[2]
    return f"{line['timestamp'][:19]}  {where:<8}  {line['message']}"
