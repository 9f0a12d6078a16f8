"""Webhooks: servers of your own, told of what happens; what they answered, and sending it again."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import names
from cli.connection import connect
from cli.failures import ExitCode, Failed, Refused
from cli.options import Everything, Json, Limit, NoWait, Seconds, Team, Yes
from cli.terminal import ago, confirm, facts, field, moment, put, put_json, say, table, working
from cli.times import moment_of, seconds_of

if TYPE_CHECKING:
    from cli.client import Client

Webhook = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Id, or its description.")]
Delivery = Annotated[str, typer.Argument(metavar="DELIVERY", help="Id of a message: `whd-...`.")]
POLL_SECONDS = 0.3
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


def delivery(delivery: Delivery, *, json: Json = False) -> None:
    """Show one message: what was sent, and what came back each time."""
    with connect() as api:
        found = api.get(f"/webhooks/deliveries/{delivery}")
    if json:
        put_json(found)
        return
    facts(
        ("Id", found["id"]),
        ("Webhook", found["webhookId"]),
        ("Event", found["eventType"]),
        ("Status", found["status"]),
        ("Made", ago(found["createdAt"])),
        ("Tried again", ago(found["nextAttemptAt"]) if found["nextAttemptAt"] else None),
        ("Sent", found["requestBody"]),
    )
    for attempt in found["attemptLog"]:
        put("")
        facts(
            ("Try", str(attempt["number"])),
            ("At", attempt["at"]),
            ("Took", f"{attempt['durationMs']} ms"),
            ("Answered", attempt["responseStatus"]),
            ("Problem", attempt["problem"]),
            ("Body", attempt["responseBody"]),
        )


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


def send_test(
    webhook: Webhook, *, no_wait: NoWait = False, timeout: Seconds = 60, json: Json = False
) -> None:
    """Send a message that means nothing, and tell whether it arrived."""
    with connect() as api:
        asked = api.post(f"/webhooks/{names.webhook_id(api, webhook)}/test")
        found = asked if no_wait else _tried(api, asked["deliveryId"], seconds=timeout)
    if json:
        put_json(found)
    elif no_wait:
        say(f"{asked['message']}: {asked['deliveryId']}.")
    if no_wait:
        return
    if found["status"] != "delivered":
        raise Failed(f"It did not arrive: {found['problem']}")
    say(f"It arrived, and was answered with {found['responseStatus']}.")


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


def _tried(api: "Client", delivery_id: str, *, seconds: int) -> dict[str, Any]:
    """Return the message once it was tried, whatever came of it."""
    deadline = time.monotonic() + seconds
    with working("Sending ..."):
        while True:
            try:
                found: dict[str, Any] = api.get(f"/webhooks/deliveries/{delivery_id}")
            except Refused as refusal:
                if refusal.code is not ExitCode.NOT_FOUND:  # else it is not in the queue yet
                    raise
                found = {"attempts": 0}
            if found["attempts"]:
                return found
            if time.monotonic() > deadline:
                raise Failed(f"It was not sent within {seconds} s; it is still going to be.")
            time.sleep(POLL_SECONDS)


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
