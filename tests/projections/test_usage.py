"""How much was served, per hour."""

import random
from collections import Counter
from datetime import timedelta

from projections.usage import REQUEST_TOTALS
from tests.projections.asking import NOON, Gateway, at, digest, line, rebuild
from tests.wiring import Installation


async def test_requests_are_totalled_per_team_deployment_key_and_hour(
    installation: Installation, gateway: Gateway
) -> None:
    installation.start_views([REQUEST_TOTALS])
    await gateway.serve(
        line(1),
        line(2, status=404, bytes_in=1, bytes_out=2),
        line(3, status=503, connect_ms=-1),
        line(4, status=429, refused="rate_limited", connect_ms=-1),
        line(5, time=at(0.999)),
        line(6, time=at(1)),
        line(7, team_id="org-0000000002"),
        line(8, key_id=""),
        line(9, deployment_id="", team_id="", status=404, connect_ms=-1),
    )
    await Gateway(installation, "gtw-0000000002").serve(line(1))
    rows = await installation.rows(REQUEST_TOTALS)
    assert len(rows) == 5
    [busy] = [
        row
        for row in rows
        if (row["team_id"], row["key_id"], row["hour"])
        == ("org-0000000001", "key-0000000001", NOON)
        and row["deployment_id"]
    ]
    assert busy["requests"] == 6
    assert busy["billable"] == 4
    assert busy["client_errors"] == 2
    assert busy["server_errors"] == 1
    assert busy["bytes_in"] == 5 * 100 + 1
    assert busy["bytes_out"] == 5 * 1000 + 2
    assert sum(row["requests"] for row in rows) == 10
    assert sum(row["hour"] == NOON + timedelta(hours=1) for row in rows) == 1


async def test_every_request_of_many_gateways_is_counted_once(installation: Installation) -> None:
    chance = random.Random(7)
    gateways = [Gateway(installation, f"gtw-{number:010d}") for number in range(6)]
    installation.start_views([REQUEST_TOTALS])
    expected: Counter[tuple[str, int]] = Counter()
    for number in range(60):
        lines = [
            line(
                step,
                team_id=f"org-{chance.randrange(3)}",
                time=at(chance.randrange(4)),
                bytes_out=chance.randrange(10_000),
            )
            for step in range(chance.randrange(20))
        ]
        expected.update((one.team_id, one.time) for one in lines)
        await gateways[number % 6].serve(*lines)
    rows = await installation.rows(REQUEST_TOTALS)
    assert {
        (row["team_id"], int(row["hour"].timestamp() * 1000)): row["requests"] for row in rows
    } == expected
    before = await digest(installation, REQUEST_TOTALS)
    await rebuild(installation, REQUEST_TOTALS)
    assert await digest(installation, REQUEST_TOTALS) == before


async def test_a_frame_that_cannot_be_unpacked_is_parked_and_the_others_count(
    installation: Installation, gateway: Gateway
) -> None:
    await installation.append_raw(
        "requests-broken-1",
        1,
        "metering.RequestsServed@1",
        b'{"gateway_id":"g","log":"l","start_offset":0,"end_offset":1,"count":1,"first_at":0,'
        b'"last_at":0,"workers":[],"lines":"AAAA"}',
    )
    await gateway.serve(line(1), line(2))
    installation.start_views([REQUEST_TOTALS])
    assert [row["requests"] for row in await installation.rows(REQUEST_TOTALS)] == [2]
    [parked] = await installation.query("SELECT stream_id, error FROM parked_events")
    assert parked["stream_id"] == "requests-broken-1"
