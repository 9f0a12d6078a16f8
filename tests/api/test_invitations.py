"""Invitations over HTTP: sent by mail, bound to an address, used once."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from commands.teams import ADDRESS_PURPOSE
from domain.mail.events import MailRequested
from domain.mail.values import LinkPurpose, Template
from domain.teams.values import Role
from tests.api.conftest import Api, Visitor
from tests.api.test_routes import is_problem


def code(answer: Any, status: int) -> str:
    assert is_problem(answer, status)
    return str(answer.json()["error"]["code"])


async def accept(visitor: Visitor, token: str) -> Any:
    return await visitor.post(f"/v1/invitations/{token}/accept")


async def test_who_is_invited_sees_by_whom_and_joins_once(api: Api) -> None:
    anna, bert = await api.join("anna"), await api.join("bert")
    team_id = await anna.found_team()
    await anna.invite("Bert@Example.com", team_id, "admin")
    token = await api.installation.link_of(team_id)
    api.nobody.position = anna.position
    preview = await api.nobody.get(f"/v1/invitations/{token}")
    assert preview.status_code == 200
    shown = preview.json()
    assert shown.pop("expiresAt") > datetime.now(UTC).isoformat()
    assert shown == {"teamName": "Acme", "invitedBy": "anna", "role": "admin"}

    joined = await accept(bert, token)
    assert joined.json() == {"teamId": team_id, "name": "Acme", "role": "admin"}
    assert (await bert.get(f"/v1/teams/{team_id}")).json()["role"] == "admin"
    assert code(await accept(bert, token), 410) == "invitation_over"
    carl = await api.join("carl")
    assert code(await accept(carl, token), 410) == "invitation_over"
    api.nobody.position = bert.position
    assert code(await api.nobody.get(f"/v1/invitations/{token}"), 410) == "invitation_over"


async def test_one_link_pressed_many_times_at_once_makes_one_member(api: Api) -> None:
    anna, bert = await api.join("anna"), await api.join("bert")
    team_id = await anna.found_team()
    await anna.invite("bert@example.com", team_id)
    token = await api.installation.link_of(team_id)
    answers = await asyncio.gather(*(accept(bert, token) for _ in range(12)))
    assert sorted(answer.status_code for answer in answers) == [200] + [410] * 11


async def test_an_invitation_is_for_its_address_only(api: Api) -> None:
    anna, carl = await api.join("anna"), await api.join("carl")
    team_id = await anna.found_team()
    await anna.invite("bert@example.com", team_id)
    token = await api.installation.link_of(team_id)
    assert code(await accept(carl, token), 403) == "invitation_for_another"
    assert is_problem(await carl.get(f"/v1/teams/{team_id}"), 404)
    bert = await api.join("bert")  # who registers after being invited
    program = await bert.with_key("admin:*")
    assert is_problem(await accept(program, token), 403)
    assert (await accept(bert, token)).status_code == 200


async def test_a_link_that_was_bent_is_not_there(api: Api) -> None:
    anna, bert = await api.join("anna"), await api.join("bert")
    team_id, other = await anna.found_team("Acme"), await anna.found_team("Ajax")
    await anna.invite("bert@example.com", team_id)
    token = await api.installation.link_of(team_id)
    subject, nonce, signature = token.split(".")
    bent = [
        f"{other}.{nonce}.{signature}",
        f"{subject}.{'B' if nonce[0] == 'A' else 'A'}{nonce[1:]}.{signature}",
        f"{subject}.{nonce}.{signature[::-1]}",
        api.installation.links.issue(LinkPurpose.RESET_PASSWORD, team_id, nonce),
        subject,
        f"{token}.",
        "x" * 201,
    ]
    for each in bent:
        for answer in (
            await accept(bert, each),
            await api.nobody.ask("GET", f"/v1/invitations/{each}"),
        ):
            assert answer.status_code in {404, 422}, each
    assert (await accept(bert, token)).status_code == 200


async def test_a_revoked_replaced_or_expired_invitation_is_over(api: Api) -> None:
    anna, bert = await api.join("anna"), await api.join("bert")
    team_id = await anna.found_team()
    path = f"/v1/teams/{team_id}/invitations"
    await anna.invite("bert@example.com", team_id)
    first = await api.installation.link_of(team_id)
    second_id = await anna.invite("BERT@example.com", team_id)
    second = await api.installation.link_of(team_id)
    assert code(await accept(bert, first), 410) == "invitation_over"
    listed = (await anna.get(path)).json()["invitations"]
    assert [each["id"] for each in listed] == [second_id]

    assert (await anna.ask("DELETE", f"{path}/{second_id}")).status_code == 200
    assert is_problem(await anna.ask("DELETE", f"{path}/{second_id}"), 404)
    assert code(await accept(bert, second), 410) == "invitation_over"

    await anna.invite("bert@example.com", team_id)
    third = await api.installation.link_of(team_id)
    late = api.at(datetime.now(UTC) + timedelta(hours=73))
    assert code(await late.client.get(f"/v1/invitations/{third}"), 410) == "invitation_over"
    await late.close()
    assert (await anna.ask("DELETE", f"/v1/teams/{team_id}")).status_code == 200
    assert code(await accept(bert, third), 410) == "invitation_over"


@pytest.mark.parametrize(
    ("role", "given", "status"),
    [
        (Role.ADMIN, "owner", 403),
        (Role.ADMIN, "admin", 201),
        (Role.DEVELOPER, "viewer", 403),
        (Role.VIEWER, "viewer", 403),
    ],
)
async def test_nobody_invites_above_their_own_role(
    api: Api, role: Role, given: str, status: int
) -> None:
    anna, bert = await api.join("anna"), await api.join("bert")
    team_id = await anna.found_team()
    await api.add_member(team_id, bert, role)
    wish = {"email": "carl@example.com", "role": given}
    answer = await bert.post(f"/v1/teams/{team_id}/invitations", wish)
    assert answer.status_code == status
    if Role.ADMIN.outranks(role):
        assert is_problem(await bert.get(f"/v1/teams/{team_id}/invitations"), 403)
        member = {"email": "anna@example.com", "role": given}  # not even learned by who may not
        assert is_problem(await bert.post(f"/v1/teams/{team_id}/invitations", member), 403)


async def test_a_member_is_not_invited_nor_anybody_to_a_personal_team(api: Api) -> None:
    anna, bert = await api.join("anna"), await api.join("bert")
    team_id = await anna.found_team()
    await api.add_member(team_id, bert, Role.VIEWER)
    wish = {"email": "bert@example.com"}
    path = f"/v1/teams/{team_id}/invitations"
    assert code(await anna.post(path, wish), 409) == "already_member"
    personal = f"/v1/teams/{anna.account['teamId']}/invitations"
    assert code(await anna.post(personal, wish), 422) == "personal_team"
    assert is_problem(await bert.post(personal, wish), 404)


async def test_the_mail_goes_with_the_invitation_and_the_link_is_nowhere_else(api: Api) -> None:
    anna = await api.join()
    team_id = await anna.found_team()
    made = await anna.post(f"/v1/teams/{team_id}/invitations", {"email": "bert@example.com"})
    token = await api.installation.link_of(team_id)
    nonce = token.split(".")[1]
    listed = await anna.get(f"/v1/teams/{team_id}/invitations")
    [row] = listed.json()["invitations"]
    assert (row["email"], row["invitedBy"], row["expired"]) == ("bert@example.com", "anna", False)
    for answer in (made, listed):
        assert nonce not in answer.text

    installation = api.installation
    stored = await installation.query("SELECT topic, state FROM events")
    mails = [row for row in stored if row["topic"].startswith("mail.MailRequested")]
    assert len(mails) == 1
    mail = msgspec.json.decode(mails[0]["state"], type=MailRequested)
    assert (mail.template, mail.team_id) == (Template.INVITATION, team_id)
    assert mail.link is not None
    assert (mail.link.subject, mail.link.nonce) == (team_id, nonce)
    for row in stored:
        assert b"bert@example.com" not in bytes(row["state"])
        assert token.rpartition(".")[2].encode() not in bytes(row["state"])
    [view] = await installation.query("SELECT * FROM views.invitations")
    assert view["address"].startswith("sealed:")
    assert installation.vault.open(view["address"], purpose=ADDRESS_PURPOSE) == "bert@example.com"


async def test_an_address_with_an_account_is_invited_as_one_without(api: Api) -> None:
    anna, _ = await api.join("anna"), await api.join("bert")
    team_id = await anna.found_team()
    answers = [
        await anna.post(f"/v1/teams/{team_id}/invitations", {"email": f"{name}@example.com"})
        for name in ("bert", "carl")
    ]
    for answer in answers:
        assert answer.status_code == 201
    bodies = [{**answer.json(), "id": "", "email": ""} for answer in answers]
    assert bodies[0].keys() == bodies[1].keys()
    audit = (await anna.get("/v1/audit?limit=100")).json()["events"]
    invited = [each["content"] for each in audit if each["type"] == "teams.InvitationCreated"]
    assert len(invited) == 2
    assert invited[0].keys() == invited[1].keys()
