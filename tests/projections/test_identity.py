"""Who there is, and who is signed in."""

from datetime import UTC, datetime

import msgspec

from commands.bus import Context
from commands.identity import EndSession, RefreshSession, SignedIn, SignIn
from commands.work import NOBODY
from domain.kernel.events import ERASED
from projections.identity import SESSIONS, USERS
from tests.projections.asking import digest, rebuild
from tests.wiring import PASSWORD, Installation


async def sign_in(installation: Installation, name: str, address: str) -> SignedIn:
    context = Context(actor=NOBODY, address=address)
    command = SignIn(email=f"{name}@example.com", password=PASSWORD)
    signed_in: SignedIn = (await installation.dispatch(command, context)).result
    return signed_in


async def test_people_are_listed_with_what_they_told_us(installation: Installation) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    installation.start_views([USERS])
    rows = {row["username"]: row for row in await installation.rows(USERS)}
    assert rows.keys() == {"anna", "bert"}
    assert rows["anna"]["id"] == anna.user_id
    assert rows["anna"]["email"] == "anna@example.com"
    assert rows["bert"]["team_id"] == bert.team_id
    assert rows["bert"]["last_login"] is None
    await sign_in(installation, "bert", "192.0.2.7")
    rows = {row["username"]: row for row in await installation.rows(USERS)}
    assert rows["anna"]["last_login"] is None
    assert (datetime.now(UTC) - rows["bert"]["last_login"]).total_seconds() < 60


async def test_sessions_are_listed_with_where_they_came_from_and_when_they_ended(
    installation: Installation,
) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    first = await sign_in(installation, "anna", "192.0.2.7")
    await sign_in(installation, "bert", "2001:db8::1")
    await installation.dispatch(
        RefreshSession(refresh_token=first.refresh_token), Context(actor=NOBODY)
    )
    await installation.dispatch(EndSession(session_id=first.session_id), anna.context)
    installation.start_views([SESSIONS])
    rows = {row["user_id"]: row for row in await installation.rows(SESSIONS)}
    assert rows.keys() == {anna.user_id, bert.user_id}
    assert (rows[anna.user_id]["ended"], rows[bert.user_id]["ended"]) == (True, False)
    assert await installation.address(rows[anna.user_id]["address"]) == "192.0.2.7"
    assert rows[anna.user_id]["last_used_at"] > rows[anna.user_id]["created_at"]
    assert rows[bert.user_id]["last_used_at"] == rows[bert.user_id]["created_at"]


async def test_a_rebuild_after_an_erasure_shows_nothing_of_the_person(
    installation: Installation,
) -> None:
    anna = await installation.register("anna")
    await installation.register("bert")
    await installation.as_admin("DELETE FROM subject_keys WHERE subject = %s", anna.user_id)
    installation.codec = installation.fresh_codec()
    installation.start_views([USERS])
    rows = {row["id"]: row for row in await installation.rows(USERS)}
    assert (rows[anna.user_id]["username"], rows[anna.user_id]["email"]) == (ERASED, ERASED)
    assert sum(row["username"] == "bert" for row in rows.values()) == 1


async def test_replaying_twice_gives_the_same_view(installation: Installation) -> None:
    for name in ("anna", "bert", "carl"):
        await installation.register(name)
        await sign_in(installation, name, "192.0.2.7")
    installation.start_views([USERS, SESSIONS])
    for view in (USERS, SESSIONS):
        before = await digest(installation, view)
        await rebuild(installation, view)
        assert await digest(installation, view) == before


def test_no_row_of_a_person_has_a_hash_of_anything() -> None:
    for view in (USERS, SESSIONS):
        assert not any("hash" in column for column in view.columns)
        assert msgspec.structs.fields(view.row)
