"""The mails that stayed on this machine, as an admin of the platform reads them."""

from datetime import UTC, datetime

from commands.bus import Context
from commands.identity import IssueAdminLink
from commands.work import Actor
from tests.api.conftest import Api, Visitor
from tests.api.test_routes import is_problem

MORNING = datetime(2026, 3, 14, 6, tzinfo=UTC)


async def become_admin(api: Api) -> Visitor:
    """Sign anna in, who looks after the platform."""
    anna = await api.join()
    issued = await api.installation.dispatch(
        IssueAdminLink(only_first=True), Context(actor=Actor(id="operator"))
    )
    assert (await anna.post("/v1/setup", {"token": issued.result})).status_code == 200
    await api.installation.caught_up()
    return await api.sign_in("anna@example.com")


async def test_an_admin_reads_what_the_platform_wrote_the_newest_first(api: Api) -> None:
    anna = await become_admin(api)
    first = await api.new_mail(requested_at=MORNING)
    second = await api.new_mail(subject="Zweite Prüfung", recipient="bärbel@example.com")
    listed = (await anna.get("/v1/admin/mailbox?limit=1")).json()
    [newest] = listed["mails"]
    assert (newest["id"], newest["subject"]) == (second, "Zweite Prüfung")
    assert newest["recipient"] == "bärbel@example.com"
    assert listed["pagination"]["total"] == 2
    [oldest] = (await anna.get("/v1/admin/mailbox?limit=1&page=2")).json()["mails"]
    assert (oldest["id"], oldest["requestedAt"]) == (first, "2026-03-14T06:00:00Z")
    assert "text" not in oldest
    whole = (await anna.get(f"/v1/admin/mailbox/{first}")).json()
    assert "http://api.test/verify-email#token" in whole["text"]
    assert (await anna.get("/v1/user/profile")).json()["mailboxKept"] is True


async def test_a_mail_that_is_not_there_is_not_looked_for_elsewhere(api: Api) -> None:
    anna = await become_admin(api)
    await api.new_mail()
    for mail_id in ("mai-0000000000", "mai-*", "..%2f..%2fsecrets", "*"):
        assert is_problem(await anna.get(f"/v1/admin/mailbox/{mail_id}"), 404), mail_id


async def test_who_does_not_look_after_the_platform_sees_no_mailbox(api: Api) -> None:
    ben, mail_id = await api.join("ben"), await api.new_mail()
    for path in ("/v1/admin/mailbox", f"/v1/admin/mailbox/{mail_id}"):
        assert is_problem(await ben.get(path), 403)
    assert (await ben.get("/v1/user/profile")).json()["mailboxKept"] is False


async def test_with_a_mail_server_there_is_no_mailbox(api: Api) -> None:
    await become_admin(api)
    elsewhere = api.with_services(mailbox=None)
    anna = await elsewhere.sign_in("anna@example.com")
    for path in ("/v1/admin/mailbox", "/v1/admin/mailbox/mai-0000000000"):
        assert is_problem(await anna.get(path), 404), path
    assert (await anna.get("/v1/user/profile")).json()["mailboxKept"] is False
