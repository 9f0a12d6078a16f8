"""An admin who acts as another person sees what they see, changes little, and leaves a mark."""

from datetime import UTC, datetime, timedelta

from domain.identity.events import ImpersonationBegan, ImpersonationEnded
from tests.api.conftest import Api, Visitor
from tests.api.test_alerts import appoint
from tests.api.test_routes import is_problem


async def act_as(api: Api, admin: Visitor, person: Visitor) -> Visitor:
    path = f"/v1/admin/users/{person.account['id']}/impersonation"
    begun = await admin.post(path, {"reason": "Asked for help"})
    assert begun.status_code == 201, begun.text
    assert begun.json()["user"]["username"] == person.account["username"]
    ends_at = datetime.fromisoformat(begun.json()["expiresAt"])
    assert ends_at <= datetime.now(UTC) + timedelta(minutes=15)
    visitor = Visitor(api, {"Authorization": f"Bearer {begun.json()['accessToken']}"})
    await api.installation.caught_up()
    return visitor


async def test_what_is_done_as_another_person_has_the_admin_as_its_actor(api: Api) -> None:
    anna, berta = await api.join("anna"), await api.join("berta")
    await appoint(api, anna)
    last_login = (await berta.get("/v1/user/profile")).json()["lastLogin"]
    acting = await act_as(api, anna, berta)
    profile = (await acting.get("/v1/user/profile")).json()
    assert profile["username"] == "berta"
    assert profile["lastLogin"] == last_login
    deployment_id = await acting.deploy("shop")
    await api.installation.caught_up()
    assert (await berta.get(f"/v1/deployments/{deployment_id}")).status_code == 200
    history = (await berta.get(f"/v1/history/{deployment_id}")).json()["events"]
    assert {event["actor"] for event in history} == {anna.account["id"]}
    own = (await berta.get("/v1/audit?type=identity.ImpersonationBegan")).json()["events"]
    assert [event["content"]["reason"] for event in own] == ["Asked for help"]

    ended = await acting.ask("DELETE", "/v1/impersonation")
    assert ended.status_code == 200, ended.text
    await api.installation.caught_up()
    assert is_problem(await acting.get("/v1/user/profile"), 401)
    events = await api.installation.codec.decode_all(
        await api.installation.store.read_stream(berta.account["id"])
    )
    marks = [e for e in events if isinstance(e, ImpersonationBegan | ImpersonationEnded)]
    assert [type(mark) for mark in marks] == [ImpersonationBegan, ImpersonationEnded]
    assert {mark.admin_id for mark in marks} == {anna.account["id"]}
    assert is_problem(await anna.ask("DELETE", "/v1/impersonation"), 422)


async def test_nobody_changes_credentials_or_deletes_in_another_persons_name(api: Api) -> None:
    anna, berta = await api.join("anna"), await api.join("berta")
    await appoint(api, anna)
    deployment_id = await berta.deploy("shop")
    team_id = await berta.found_team("Bertas")
    acting = await act_as(api, anna, berta)
    before = await api.installation.store.last_position()
    for method, path, body in (
        ("POST", "/v1/api-keys", {"name": "mine"}),
        ("PUT", "/v1/user/profile", {"username": "carl"}),
        ("PUT", "/v1/user/password", {"currentPassword": "a", "newPassword": "b"}),
        ("DELETE", "/v1/user", {"password": "a"}),
        ("GET", "/v1/user/export", None),
        ("POST", "/v1/user/2fa", {"password": "a"}),
        ("POST", "/v1/auth/step-up", {"password": "a"}),
        ("DELETE", "/v1/user/sessions", None),
        ("DELETE", f"/v1/deployments/{deployment_id}", None),
        ("POST", f"/v1/deployments/{deployment_id}/transfer", {"teamId": team_id}),
        ("POST", f"/v1/teams/{team_id}/invitations", {"email": "x@example.com", "role": "owner"}),
        ("DELETE", f"/v1/teams/{team_id}", None),
        ("POST", "/v1/webhooks", {"url": "https://example.com", "eventTypes": ["*"]}),
        ("GET", "/v1/admin/users", None),
        ("POST", f"/v1/admin/users/{anna.account['id']}/impersonation", {"reason": "again"}),
    ):
        answer = await acting.ask(method, path, body)
        assert is_problem(answer, 403), (method, path)
        assert answer.json()["error"]["code"] == "not_as_another", (method, path)
    assert await api.installation.store.last_position() == before


async def test_the_admins_own_answers_and_the_persons_are_never_mixed_up(api: Api) -> None:
    anna, berta = await api.join("anna"), await api.join("berta")
    await appoint(api, anna)
    await berta.deploy("shop")
    acting = await act_as(api, anna, berta)
    for _ in range(3):
        mine = (await anna.get("/v1/deployments")).json()["deployments"]
        theirs = (await acting.get("/v1/deployments")).json()["deployments"]
        assert (len(mine), len(theirs)) == (0, 1)


async def test_it_ends_by_itself_and_is_not_for_admins_or_who_is_shut_out(api: Api) -> None:
    anna, berta, carl = [await api.join(name) for name in ("anna", "berta", "carl")]
    await appoint(api, anna)
    acting = await act_as(api, anna, berta)
    later = api.at(datetime.now(UTC) + timedelta(minutes=16))
    assert is_problem(await acting.at(later).get("/v1/user/profile"), 401)
    await later.close()

    for user_id, status in ((anna.account["id"], 422), ("usr-0000000000", 404)):
        path = f"/v1/admin/users/{user_id}/impersonation"
        assert is_problem(await anna.post(path, {"reason": "why not"}), status)
    shut_out = await anna.post(f"/v1/admin/users/{carl.account['id']}/suspension", {})
    assert shut_out.status_code == 200
    for act in ("impersonation", "password-reset"):
        path = f"/v1/admin/users/{carl.account['id']}/{act}"
        body = {"reason": "why not"} if act == "impersonation" else None
        assert is_problem(await anna.post(path, body), 422)


async def test_a_person_is_sent_the_link_that_replaces_a_password(api: Api) -> None:
    anna, berta = await api.join("anna"), await api.join("berta")
    await appoint(api, anna)
    sent = await anna.post(f"/v1/admin/users/{berta.account['id']}/password-reset")
    assert sent.status_code == 202, sent.text
    found = await api.installation.query(
        "SELECT metadata ->> 'actor' AS actor FROM events"
        " WHERE topic ~ 'PasswordResetRequested' AND originator_id = %s",
        berta.account["id"],
    )
    assert [row["actor"] for row in found] == [anna.account["id"]]
    assert (await berta.get("/v1/user/profile")).status_code == 200


async def test_every_team_is_listed_with_what_it_takes(api: Api) -> None:
    anna, berta = await api.join("anna"), await api.join("berta")
    await appoint(api, anna)
    team_id = await berta.found_team("Bertas")
    berta.team_id = team_id
    await berta.deploy("shop", replicas=2)
    quota = await anna.ask("PUT", f"/v1/admin/teams/{team_id}/quota", {"replicas": 7})
    assert quota.status_code == 200, quota.text
    await api.installation.caught_up()
    found = (await anna.get("/v1/admin/teams?search=BERT&sort=name")).json()["teams"]
    assert [(team["name"], team["owner"]) for team in found] == [
        ("Bertas", "berta"),
        ("Personal", "berta"),
    ]
    team = found[0]
    assert (team["teamId"], team["members"], team["requestsThisMonth"]) == (team_id, 1, 0)
    assert team["deployments"]["used"] == 1
    assert team["replicas"] == {"used": 2, "limit": 7, "own": True}
    assert (await anna.get("/v1/admin/teams")).json()["pagination"]["total"] == 3
