"""Webhooks: servers of your own, told of what happens; what they answered, and sending it again."""

from typing import Annotated, Any

import typer

from cli import names
from cli.connection import connect
from cli.failures import ExitCode, Failed
from cli.options import Everything, Json, Limit, Team, Yes
from cli.terminal import ago, confirm, facts, field, moment, put, put_json, say, table
from cli.times import moment_of, seconds_of

Webhook = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Id, or its description.")]
Delivery = Annotated[str, typer.Argument(metavar="DELIVERY", help="Id of a message: `whd-...`.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Write the secret and nothing else.")]


def list_webhooks(
    *,
    team: Team = None,
    limit: Limit = 100,
    everything: Everything = False,
    json: Json = False,
) -> None:
    """List the webhooks."""
    with connect() as api:
        page = api.listed(
            "/webhooks",
            "webhooks",
            limit=limit,
            everything=everything,
            teamId=names.team_id(api, team),
        )
    if json:
        put_json(page.answer)
        return
    table(
        page.rows,
        ("id", field("id")),
        ("description", field("description")),
        ("url", field("url")),
        ("events", field("eventTypes")),
        ("state", _state),
        ("made", moment("createdAt")),
        none="There are no webhooks. `tallyport webhooks create URL` makes one.",
    )
    if page.total > len(page.rows):
        say(f"{len(page.rows)} of {page.total}; --all for all of them.")


def create(
    url: Annotated[str, typer.Argument(help="Where messages are sent: https://...")],
    *,
    event: Annotated[
        list[str],
        typer.Option("--event", help="What it is told of, as `deployment.*`; repeatable."),
    ] = [],  # noqa: B006 - typer takes nothing else for a list
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    team: Team = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Make a webhook, told of everything unless --event says. Its secret is shown now only."""
    with connect() as api:
        body = {
            "url": url,
            "eventTypes": event or ["*"],
            "description": description,
            "teamId": names.team_id(api, team),
        }
        made = api.post("/webhooks", {k: v for k, v in body.items() if v is not None})
    _shown_once(made, quiet=quiet, json=json)


def show(webhook: Webhook, *, json: Json = False) -> None:
    """Show a webhook, without its secret."""
    with connect() as api:
        found = api.get(f"/webhooks/{names.webhook_id(api, webhook)}")
    if json:
        put_json(found)
        return
    facts(
        ("Id", found["id"]),
        ("About", found["description"]),
        ("URL", found["url"]),
        ("Is told of", found["eventTypes"]),
        ("State", _state(found)),
        ("Made", f"{ago(found['createdAt'])} by {found['createdBy']}"),
        ("Old secret signs along until", found["previousSecretUntil"]),
    )


def update(
    webhook: Webhook,
    *,
    url: Annotated[str | None, typer.Option(help="Where it leads from now on.")] = None,
    event: Annotated[
        list[str],
        typer.Option("--event", help="All that it is told of from now on; repeatable."),
    ] = [],  # noqa: B006 - typer takes nothing else for a list
    description: Annotated[str | None, typer.Option(help="What it is for; '' for nothing.")] = None,
    enable: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Whether it is told at all.")
    ] = None,
    json: Json = False,
) -> None:
    """Change a webhook. What happened while it was disabled is sent by a replay."""
    body: dict[str, Any] = {}
    if url is not None:
        body["url"] = url
    if event:
        body["eventTypes"] = event
    if description is not None:
        body["description"] = description or None
    if enable is not None:
        body["enabled"] = enable
    if not body:
        raise Failed("Say what shall be different.", code=ExitCode.USAGE)
    with connect() as api:
        changed = api.patch(f"/webhooks/{names.webhook_id(api, webhook)}", body)
    if json:
        put_json(changed)
    else:
        say(f"{changed['id']} is changed.")


def delete(webhook: Webhook, *, yes: Yes = False, json: Json = False) -> None:
    """Delete a webhook, and what was to be sent to it."""
    with connect() as api:
        found = names.webhook_id(api, webhook)
        confirm(f"Delete {webhook}? It is told nothing more.", yes=yes)
        answer = api.delete(f"/webhooks/{found}")
    _done(answer, json=json)


def rotate_secret(
    webhook: Webhook,
    *,
    grace: Annotated[
        str, typer.Option(help="How long the old secret signs along: 30m, 24h; 0s ends it at once.")
    ] = "24h",
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Give a webhook a new secret, shown now and never again."""
    seconds = seconds_of(grace)
    with connect() as api:
        path = f"/webhooks/{names.webhook_id(api, webhook)}/rotate-secret"
        made = api.post(path, {"graceSeconds": seconds})
    _shown_once(made, quiet=quiet, json=json)


def deliveries(
    webhook: Webhook,
    *,
    status: Annotated[
        str | None, typer.Option(help="Only these: pending, delivered or failed.")
    ] = None,
    limit: Limit = 20,
    everything: Everything = False,
    json: Json = False,
) -> None:
    """List what a webhook was told, newest first."""
    with connect() as api:
        path = f"/webhooks/{names.webhook_id(api, webhook)}/deliveries"
        page = api.listed(path, "deliveries", limit=limit, everything=everything, status=status)
    if json:
        put_json(page.answer)
        return
    table(
        page.rows,
        ("id", field("id")),
        ("event", field("eventType")),
        ("status", field("status")),
        ("tries", field("attempts")),
        ("answer", field("responseStatus")),
        ("problem", field("problem")),
        ("when", moment("createdAt")),
        ("again", moment("nextAttemptAt")),
        none="It was told nothing so far. `tallyport webhooks test` sends a message.",
    )
    if page.total > len(page.rows):
        say(f"{len(page.rows)} of {page.total}; --all for all of them.")


def retry(delivery: Delivery, *, json: Json = False) -> None:
    """Send one message again, now."""
    with connect() as api:
        answer = api.post(f"/webhooks/deliveries/{delivery}/retry")
    _done(answer, json=json)


def replay(
    webhook: Webhook,
    *,
    since: Annotated[str, typer.Option(help="From when on: a time, or so long ago: 2h, 7d.")],
    until: Annotated[str | None, typer.Option(help="Until when; now, unless given.")] = None,
    missed: Annotated[
        bool, typer.Option("--missed", help="Only what it has not taken already.")
    ] = False,
    json: Json = False,
) -> None:
    """Send what happened since a time, from the log: also what it missed."""
    body: dict[str, Any] = {"since": moment_of(since), "missedOnly": missed}
    if until is not None:
        body["until"] = moment_of(until)
    with connect() as api:
        answer = api.post(f"/webhooks/{names.webhook_id(api, webhook)}/replay", body)
    _done(answer, json=json)


def send_test(webhook: Webhook, *, json: Json = False) -> None:
    """Send a message that means nothing, to see whether it arrives."""
    with connect() as api:
        answer = api.post(f"/webhooks/{names.webhook_id(api, webhook)}/test")
    _done(answer, json=json)


def event_types(*, json: Json = False) -> None:
    """List what a webhook can be told of."""
    with connect() as api:
        answer = api.get("/webhooks/event-types")
    if json:
        put_json(answer)
        return
    table(
        answer["eventTypes"],
        ("type", field("type")),
        ("what it tells", field("description")),
        none="There are none.",
    )


def _state(webhook: Any) -> str:  # noqa: ANN401 - JSON
    if webhook["enabled"]:
        return "enabled"
    return f"disabled ({webhook['disabledReason']})"


def _done(answer: dict[str, Any], *, json: bool) -> None:
    if json:
        put_json(answer)
    else:
        say(f"{answer['message']}.")


def _shown_once(made: dict[str, Any], *, quiet: bool, json: bool) -> None:
    if json:
        put_json(made)
    elif quiet:
        put(made["secret"])
    else:
        say(f"{made['id']} is told of {', '.join(made['eventTypes'])}. Its secret:")
        put(made["secret"])
        say("It is not shown again.")
