"""What admins of the platform announce is seen by everybody, from its beginning to its end."""

from datetime import UTC, datetime, timedelta

from tests.api.conftest import Api
from tests.api.test_alerts import appoint
from tests.api.test_routes import is_problem

HOUR = timedelta(hours=1)


def at(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


async def test_an_announcement_is_seen_by_everybody_until_it_is_withdrawn(api: Api) -> None:
    anna, berta = await api.join("anna"), await api.join("berta")
    await appoint(api, anna)
    told = {"text": "  New prices\nfrom January on ", "tone": "warning"}
    made = await anna.post("/v1/admin/announcements", told)
    assert made.status_code == 201, made.text
    later = {"text": "Later", "startsAt": at(datetime.now(UTC) + HOUR)}
    assert (await anna.post("/v1/admin/announcements", later)).status_code == 201
    await api.installation.caught_up()
    for visitor in (anna, berta, await berta.with_key("call:*")):
        [seen] = (await visitor.get("/v1/announcements")).json()["announcements"]
        assert (seen["text"], seen["tone"]) == ("New prices from January on", "warning")
    listed = (await anna.get("/v1/admin/announcements")).json()
    assert listed["pagination"]["total"] == 2

    gone = await anna.ask("DELETE", f"/v1/admin/announcements/{made.json()['id']}")
    assert gone.status_code == 200
    await api.installation.caught_up()
    assert (await berta.get("/v1/announcements")).json()["announcements"] == []


async def test_maintenance_is_announced_to_those_it_is_about(api: Api) -> None:
    anna, berta = await api.join("anna"), await api.join("berta")
    await appoint(api, anna)
    deployment_id = await berta.deploy("shop")
    now = datetime.now(UTC)
    one = {"text": "New disks", "endsAt": at(now + HOUR), "deploymentId": deployment_id}
    everything = {"text": "All", "startsAt": at(now + HOUR), "endsAt": at(now + 2 * HOUR)}
    far = {"text": "Far", "startsAt": at(now + 48 * HOUR), "endsAt": at(now + 49 * HOUR)}
    ids = []
    for window in (one, everything, far):
        made = await anna.post("/v1/admin/maintenance", window)
        assert made.status_code == 201, made.text
        ids.append(made.json()["id"])
    await api.installation.caught_up()
    seen = (await berta.get("/v1/announcements")).json()["maintenance"]
    assert [(each["text"], each["phase"], each["appName"]) for each in seen] == [
        ("New disks", "under way", "shop"),
        ("All", "planned", None),
    ]
    others = (await anna.get("/v1/announcements")).json()["maintenance"]
    assert [each["text"] for each in others] == ["All"]

    for name in ids[:2]:
        ended = await anna.ask("DELETE", f"/v1/admin/maintenance/{name}")
        assert ended.status_code == 200, ended.text
    await api.installation.caught_up()
    assert (await berta.get("/v1/announcements")).json()["maintenance"] == []
    left = (await anna.get("/v1/admin/maintenance")).json()["maintenance"]
    assert [(each["text"], each["phase"]) for each in left] == [
        ("Far", "planned"),
        ("New disks", "over"),
    ]


async def test_what_makes_no_sense_is_refused(api: Api) -> None:
    anna = await api.join("anna")
    await appoint(api, anna)
    now = datetime.now(UTC)
    past = {"text": "Past", "endsAt": at(now - HOUR)}
    assert is_problem(await anna.post("/v1/admin/announcements", past), 422)
    assert is_problem(await anna.post("/v1/admin/maintenance", past), 422)
    nothing = {"text": "Of what?", "endsAt": at(now + HOUR), "deploymentId": "dpl-0000000000"}
    assert is_problem(await anna.post("/v1/admin/maintenance", nothing), 404)
    assert is_problem(await anna.ask("DELETE", "/v1/admin/maintenance/mnt-0000000000"), 404)
    assert is_problem(await anna.ask("DELETE", "/v1/admin/announcements/nonsense"), 404)
