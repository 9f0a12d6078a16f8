"""People over HTTP: addresses, forgotten passwords, guesses, sessions, profiles, admins."""

from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest

from commands.bus import Context
from commands.identity import IssueAdminLink
from commands.work import Actor
from tests.api.conftest import Api, Body, Visitor
from tests.api.test_routes import is_problem
from tests.wiring import PASSWORD, Clock

ANOTHER = "violet river in spring"
ADDRESS = "anna@example.com"


async def mails(api: Api) -> list[dict[str, Any]]:
    """Return the mails that were asked for, oldest first."""
    rows = await api.installation.query(
        "SELECT convert_from(state, 'UTF8') AS state FROM events"
        " WHERE topic LIKE 'mail.MailRequested@%%' ORDER BY notification_id"
    )
    return [msgspec.json.decode(row["state"]) for row in rows]


async def templates(api: Api) -> list[str]:
    return [mail["template"] for mail in await mails(api)]


async def link(api: Api, template: str) -> str:
    """Return the token in the newest mail of a kind."""
    [*_, newest] = [mail["link"] for mail in await mails(api) if mail["template"] == template]
    return api.installation.links.issue(newest["purpose"], newest["subject"], newest["nonce"])


async def register(api: Api, name: str, email: str, password: str = PASSWORD) -> httpx.Response:
    body = {"username": name, "email": email, "password": password, "confirmPassword": password}
    return await api.nobody.post("/v1/auth/register", body)


async def login(api: Api, email: str = ADDRESS, password: str = PASSWORD) -> httpx.Response:
    return await api.nobody.post("/v1/auth/login", {"email": email, "password": password})


async def from_(api: Api, address: str, email: str, password: str = PASSWORD) -> httpx.Response:
    """Sign in from another network."""
    transport = httpx.ASGITransport(api.app, client=(address, 50000))
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
        return await client.post("/v1/auth/login", json={"email": email, "password": password})


@pytest.fixture
async def verifying(api: Api) -> Any:
    """An API where addresses are verified."""
    strict = api.another(verify_email=True)
    yield strict
    await strict.close()


async def test_where_addresses_are_verified_one_signs_in_only_after_following_the_link(
    verifying: Api,
) -> None:
    answer = await register(verifying, "anna", ADDRESS)
    assert (answer.status_code, answer.json()["status"]) == (201, "pending")
    assert is_problem(await login(verifying), 401)
    token = await link(verifying, "verify_email")
    assert (await verifying.nobody.post("/v1/auth/verify-email", {"token": token})).is_success
    assert (await login(verifying)).status_code == 200
    again = await verifying.nobody.post("/v1/auth/verify-email", {"token": token})
    assert is_problem(again, 410)


async def test_a_newer_link_voids_the_one_before(verifying: Api) -> None:
    await register(verifying, "anna", ADDRESS)
    first = await link(verifying, "verify_email")
    answers = [
        await verifying.nobody.post("/v1/auth/verify-email/resend", {"email": email})
        for email in (ADDRESS, "nobody@example.com")
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].content == answers[1].content
    assert answers[0].headers.keys() == answers[1].headers.keys()
    assert (await templates(verifying)) == ["verify_email"] * 2
    old = await verifying.nobody.post("/v1/auth/verify-email", {"token": first})
    assert is_problem(old, 410)
    new = {"token": await link(verifying, "verify_email")}
    assert (await verifying.nobody.post("/v1/auth/verify-email", new)).is_success


async def test_registering_with_somebodys_address_tells_only_them(verifying: Api) -> None:
    await register(verifying, "anna", ADDRESS)
    fresh = await register(verifying, "berta", "berta@example.com")
    taken = await register(verifying, "carla", ADDRESS.upper())
    assert (fresh.status_code, taken.status_code) == (201, 201)
    assert fresh.json().keys() == taken.json().keys()
    assert fresh.headers.keys() == taken.headers.keys()
    assert (await templates(verifying))[-1] == "account_exists"
    for name, password in (("berta", PASSWORD), ("carla", PASSWORD)):
        assert is_problem(await login(verifying, f"{name}@example.com", password), 401)
    # Also the name is taken as it would be.
    for name in ("berta", "carla"):
        assert is_problem(await register(verifying, name, "dora@example.com"), 409)


async def test_a_forgotten_password_is_replaced_once_and_every_session_ends(api: Api) -> None:
    anna = await api.join()
    answers = [
        await api.nobody.post(
            "/v1/auth/forgot-password", {"email": email}, Host="evil.example", X_Forwarded_Host="e"
        )
        for email in (ADDRESS, "nobody@example.com")
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].content == answers[1].content
    assert answers[0].headers.keys() == answers[1].headers.keys()
    assert "evil" not in str(await mails(api))

    wish = {"token": await link(api, "reset_password"), "newPassword": ANOTHER}
    weak = await api.nobody.post("/v1/auth/reset-password", {**wish, "newPassword": "password1"})
    assert is_problem(weak, 422)
    done = await api.nobody.post("/v1/auth/reset-password", wish)
    assert done.status_code == 200
    assert "accessToken" not in done.text
    assert is_problem(await api.nobody.post("/v1/auth/reset-password", wish), 410)
    refreshing = {"refreshToken": anna.session["refreshToken"]}
    assert is_problem(await api.nobody.post("/v1/auth/refresh", refreshing), 401)
    assert is_problem(await login(api), 401)
    assert (await login(api, password=ANOTHER)).status_code == 200
    assert (await templates(api)) == ["reset_password", "password_changed"]


async def test_a_reset_link_is_void_after_half_an_hour_a_newer_one_or_a_changed_password(
    api: Api,
) -> None:
    clock = Clock()
    timed = api.timed(clock)
    anna = await timed.join()
    void = []
    await timed.nobody.post("/v1/auth/forgot-password", {"email": ADDRESS})
    void.append(await link(api, "reset_password"))
    await timed.nobody.post("/v1/auth/forgot-password", {"email": ADDRESS})
    late = await link(api, "reset_password")
    change = {"currentPassword": PASSWORD, "newPassword": ANOTHER, "confirmNewPassword": ANOTHER}
    assert (await anna.ask("PUT", "/v1/user/password", change)).status_code == 200
    void.append(late)
    await timed.nobody.post("/v1/auth/forgot-password", {"email": ADDRESS})
    void.append(await link(api, "reset_password"))
    clock.now += timedelta(minutes=30)
    void += ["x", anna.session["refreshToken"], anna.session["accessToken"][:200]]
    for token in void:
        wish = {"token": token, "newPassword": ANOTHER}
        assert is_problem(await timed.nobody.post("/v1/auth/reset-password", wish), 410), token
    await timed.close()


async def test_only_so_many_mails_a_minute_and_the_rest_is_answered_the_same(api: Api) -> None:
    few = api.another(mails_per_minute=2)
    await api.join("spam")
    statuses = []
    for number in range(4):
        transport = httpx.ASGITransport(few.app, client=(f"192.0.2.{100 + number // 2}", 50000))
        async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
            body = {"email": "spam@example.com"}
            answer = await client.post("/v1/auth/forgot-password", json=body)
            statuses.append(answer.status_code)
    assert statuses == [202] * 4
    assert await templates(api) == ["reset_password"] * 2
    transport = httpx.ASGITransport(few.app, client=("192.0.2.100", 50000))
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
        body = {"email": "other@example.com"}
        answer = await client.post("/v1/auth/forgot-password", json=body)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    await few.close()


async def test_a_changed_password_ends_every_other_session(api: Api) -> None:
    anna = await api.join()
    elsewhere = await api.sign_in(ADDRESS)
    wish = {"currentPassword": PASSWORD, "newPassword": ANOTHER, "confirmNewPassword": ANOTHER}
    for wrong, status in (
        ({"currentPassword": ANOTHER}, 401),
        ({"confirmNewPassword": PASSWORD}, 422),
        ({"newPassword": "anna12345", "confirmNewPassword": "anna12345"}, 422),
    ):
        assert is_problem(await anna.ask("PUT", "/v1/user/password", {**wish, **wrong}), status)
    assert (await anna.ask("PUT", "/v1/user/password", wish)).status_code == 200
    assert (await anna.get("/v1/user/profile")).status_code == 200
    refreshing = {"refreshToken": elsewhere.session["refreshToken"]}
    assert is_problem(await api.nobody.post("/v1/auth/refresh", refreshing), 401)
    mine = {"refreshToken": anna.session["refreshToken"]}
    assert (await api.nobody.post("/v1/auth/refresh", mine)).status_code == 200


async def test_a_stranger_who_guesses_shuts_out_strangers_and_never_the_person(api: Api) -> None:
    strict = api.another(guesses_per_network=3, guesses_per_account=5)
    await api.join("victim")
    email = "victim@example.com"  # who has signed in from 192.0.2.1
    codes = [
        (await from_(strict, f"198.51.100.{number}", written, "wrong password")).status_code
        for number, written in enumerate([email, email.upper(), f" {email} ", email, email, email])
    ]
    assert codes == [401] * 5 + [429]
    stranger = await from_(strict, "203.0.113.7", email)
    assert is_problem(stranger, 429)
    assert stranger.json()["error"]["code"] == "too_many_guesses"
    assert 0 < int(stranger.headers["retry-after"]) <= 900
    for _ in range(4):  # right ones do not count
        assert (await from_(strict, "192.0.2.1", email)).status_code == 200

    # An address without an account is answered in the same way.
    unknown = [
        (await from_(strict, f"198.51.100.{number}", "no@example.com", "x")).status_code
        for number in range(6)
    ]
    assert unknown == codes

    # Whoever reads the mail comes in from a new network too.
    await strict.nobody.post("/v1/auth/forgot-password", {"email": email})
    transport = httpx.ASGITransport(strict.app, client=("203.0.113.7", 50000))
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
        wish = {"token": await link(api, "reset_password"), "newPassword": ANOTHER}
        assert (await client.post("/v1/auth/reset-password", json=wish)).status_code == 200
    assert (await from_(strict, "203.0.113.7", email, ANOTHER)).status_code == 200
    await strict.close()


async def test_one_network_guesses_only_so_often_also_where_it_is_known(api: Api) -> None:
    strict = api.another(guesses_per_network=3)
    await api.join("guessed")
    email = "guessed@example.com"
    codes = [
        (await from_(strict, "192.0.2.1", email, "wrong password")).status_code for _ in range(4)
    ]
    assert codes == [401, 401, 401, 429]
    assert (await from_(strict, "192.0.2.2", email)).status_code == 200
    await strict.close()


async def test_a_sign_in_from_a_new_network_is_told_by_mail_but_not_the_first(api: Api) -> None:
    await api.join()
    assert await templates(api) == []
    assert (await from_(api, "203.0.113.9", ADDRESS)).status_code == 200
    assert (await from_(api, "203.0.113.9", ADDRESS)).status_code == 200
    assert await templates(api) == ["new_sign_in"]


async def test_a_session_that_is_reused_is_told_by_mail(api: Api) -> None:
    clock = Clock()
    timed = api.timed(clock)
    anna = await timed.join()
    refreshing = {"refreshToken": anna.session["refreshToken"]}
    assert (await timed.nobody.post("/v1/auth/refresh", refreshing)).status_code == 200
    clock.now += timedelta(seconds=11)
    assert is_problem(await timed.nobody.post("/v1/auth/refresh", refreshing), 401)
    assert await templates(api) == ["session_reuse"]
    await timed.close()


async def test_one_sees_where_one_is_signed_in_and_signs_out_there(api: Api) -> None:
    anna, berta = await api.join("anna"), await api.join("berta")
    await api.nobody.post(
        "/v1/auth/login",
        {"email": ADDRESS, "password": PASSWORD},
        User_Agent="Mozilla/5.0 (X11)" + "x" * 200,
    )
    phone = await api.sign_in(ADDRESS)
    phone_id = phone.session["refreshToken"].partition(".")[0]
    await api.installation.caught_up()

    async def listed(visitor: Visitor) -> list[Body]:
        rows: list[Body] = (await visitor.get("/v1/user/sessions")).json()["sessions"]
        return rows

    rows = await listed(anna)
    assert len(rows) == 3
    assert [row["id"] for row in rows if row["current"]] == [
        anna.session["refreshToken"].partition(".")[0]
    ]
    assert {row["address"] for row in rows} == {"192.0.2.1"}
    assert any((row["userAgent"] or "").startswith("Mozilla/5.0 (X11)") for row in rows)
    assert all(len(row["userAgent"] or "") <= 120 for row in rows)
    assert len(await listed(berta)) == 1

    assert is_problem(await berta.ask("DELETE", f"/v1/user/sessions/{phone_id}"), 404)
    assert (await anna.ask("DELETE", f"/v1/user/sessions/{phone_id}")).status_code == 200
    assert is_problem(await phone.get("/v1/user/profile"), 401)
    assert len(await listed(anna)) == 2
    assert (await anna.ask("DELETE", "/v1/user/sessions")).status_code == 200
    [left] = await listed(anna)
    assert left["current"]
    assert len(await listed(berta)) == 1


async def test_a_profile_is_changed_in_the_version_that_was_read(api: Api) -> None:
    anna = await api.join()
    await api.installation.caught_up()
    read = await anna.get("/v1/user/profile")
    changed = await anna.ask(
        "PUT",
        "/v1/user/profile",
        {"username": "Anna.B", "email": "anna@example.org"},
        If_Match=read.headers["etag"],
    )
    assert changed.status_code == 200, changed.text
    assert set(changed.json()) == {"id", "username", "email", "pendingEmail", "updatedAt"}
    assert (changed.json()["username"], changed.json()["email"]) == ("anna.b", "anna@example.org")
    stale = await anna.ask(
        "PUT", "/v1/user/profile", {"username": "other"}, If_Match=read.headers["etag"]
    )
    assert is_problem(stale, 412)
    profile = (await anna.get("/v1/user/profile")).json()
    assert (profile["username"], profile["email"]) == ("anna.b", "anna@example.org")
    assert await templates(api) == ["email_changed"]
    assert (await login(api, "anna@example.org")).status_code == 200
    assert is_problem(await login(api), 401)
    # Name and address are free again, and what looks like the new name is not.
    assert (await register(api, "anna", ADDRESS)).status_code == 201
    assert is_problem(await register(api, "anna-b", "x@example.com"), 409)


async def test_two_who_want_one_name_do_not_both_get_it(api: Api) -> None:
    anna, berta = await api.join("anna"), await api.join("berta")
    for wish in ({"username": "berta"}, {"username": "8erta", "email": "BERTA@example.com"}):
        assert is_problem(await anna.ask("PUT", "/v1/user/profile", wish), 409)
    assert (await berta.get("/v1/user/profile")).json()["username"] == "berta"
    assert is_problem(await anna.ask("PUT", "/v1/user/profile", {}), 422)


async def test_where_addresses_are_verified_a_new_one_counts_when_it_is(verifying: Api) -> None:
    await register(verifying, "anna", ADDRESS)
    token = {"token": await link(verifying, "verify_email")}
    await verifying.nobody.post("/v1/auth/verify-email", token)
    anna = await verifying.sign_in(ADDRESS)
    wish = {"email": "anna@example.org"}
    changed = (await anna.ask("PUT", "/v1/user/profile", wish)).json()
    assert (changed["email"], changed["pendingEmail"]) == (ADDRESS, "anna@example.org")
    assert (await anna.get("/v1/user/profile")).json()["pendingEmail"] == "anna@example.org"
    token = {"token": await link(verifying, "verify_email")}
    assert (await verifying.nobody.post("/v1/auth/verify-email", token)).status_code == 200
    assert (await login(verifying, "anna@example.org")).status_code == 200
    assert is_problem(await login(verifying), 401)
    assert (await templates(verifying))[-1] == "email_changed"


async def test_who_follows_the_printed_link_looks_after_the_platform_and_suspends_people(
    api: Api,
) -> None:
    boss, anna = await api.join("boss"), await api.join("anna")
    for visitor in (boss, anna):
        assert is_problem(await visitor.get("/v1/admin/users"), 403)
    issued = await api.installation.dispatch(
        IssueAdminLink(only_first=True), Context(actor=Actor(id="operator"))
    )
    assert is_problem(await boss.post("/v1/setup", {"token": issued.result[:-1] + "x"}), 410)
    assert (await boss.post("/v1/setup", {"token": issued.result})).status_code == 200
    assert is_problem(await anna.post("/v1/setup", {"token": issued.result}), 410)
    again = await api.installation.dispatch(
        IssueAdminLink(only_first=True), Context(actor=Actor(id="operator"))
    )
    assert again.result is None

    await api.installation.caught_up()
    boss = await api.sign_in("boss@example.com")
    listed = (await boss.get("/v1/admin/users?search=ANN&sort=username")).json()
    assert [user["username"] for user in listed["users"]] == ["anna"]
    assert (await boss.get("/v1/user/profile")).json()["platformAdmin"] is True
    assert is_problem(await anna.get("/v1/admin/users"), 403)

    path = f"/v1/admin/users/{anna.account['id']}/suspension"
    mine = f"/v1/admin/users/{boss.account['id']}/suspension"
    assert is_problem(await boss.post(mine, {"reason": "fun"}), 422)
    assert (await boss.post(path, {"reason": "spam"})).status_code == 200
    assert is_problem(await login(api), 401)
    refreshing = {"refreshToken": anna.session["refreshToken"]}
    assert is_problem(await api.nobody.post("/v1/auth/refresh", refreshing), 401)
    assert (await boss.ask("DELETE", path)).status_code == 200
    assert (await login(api)).status_code == 200
