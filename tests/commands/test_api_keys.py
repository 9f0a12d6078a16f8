"""Keys: made, restricted, revoked; by a person or by another key."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from commands.api_keys import (
    ChangeApiKey,
    ChangedApiKey,
    CreatedApiKey,
    FoundKey,
    ReportLeakedKeys,
    RevokeApiKey,
    RotateApiKey,
)
from commands.bus import Context
from commands.mail import PARAMETER_PURPOSE
from commands.teams import CreateTeam
from commands.work import Actor
from domain.api_keys.api_key import ExpiryInThePast, KeyExpired, KeyRevoked
from domain.api_keys.events import ApiKeyExpirySet
from domain.api_keys.values import NotANetwork, hash_of, looks_like_key
from domain.kernel.errors import NotAllowed, NotFound
from domain.kernel.permissions import UnknownScope
from domain.mail.events import MailRequested
from domain.teams.events import MemberAdded
from domain.teams.values import SCOPES_OF, Role
from infrastructure.sealing import subjects_in
from tests.wiring import Installation, Person

HOUR = timedelta(hours=1)


def by_key(person: Person, *scopes: str) -> Person:
    """The person's team, acted for by a key with these scopes."""
    other = msgspec.structs.replace(
        person.context.actor,
        id="key-0000000001",
        user_id=None,
        grants={person.team_id: frozenset(scopes)},
    )
    acting = object.__new__(Person)
    acting.__dict__.update(person.__dict__)
    acting.context = Context(actor=other)
    return acting


async def test_a_key_is_shown_once_and_only_its_hash_is_kept(installation: Installation) -> None:
    anna = await installation.register()
    created = await installation.create_key(anna)
    assert looks_like_key(created.key)
    assert created.key.startswith(created.prefix)
    [event] = await installation.store.read_stream(created.key_id)
    content = msgspec.json.decode(event.data)
    assert content["secret_hash"] == hashlib.sha256(created.key.encode()).hexdigest()
    assert created.key.removeprefix(created.prefix).encode() not in event.data


async def test_no_two_keys_are_equal(installation: Installation) -> None:
    anna = await installation.register()
    made = [await installation.create_key(anna) for _ in range(20)]
    assert len({one.key for one in made}) == len({one.key_id for one in made}) == 20


async def test_a_key_for_one_deployment_calls_only_that(installation: Installation) -> None:
    anna = await installation.register()
    deployment_id = (await installation.deploy(anna)).deployment_id
    created = await installation.create_key(anna, deployment_id=deployment_id)
    assert created.scopes == (f"call:{deployment_id}",)
    created = await installation.create_key(
        anna, deployment_id=deployment_id, scopes=("call:*", "logs:read")
    )
    assert created.scopes == (f"call:{deployment_id}", "logs:read")


async def test_a_key_for_somebody_elses_deployment_is_refused(installation: Installation) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    deployment_id = (await installation.deploy(anna)).deployment_id
    with pytest.raises(NotFound):
        await installation.create_key(bert, deployment_id=deployment_id)
    with pytest.raises(NotFound):
        await installation.create_key(bert, deployment_id="dpl-0000000000")


async def test_nobody_makes_a_key_for_somebody_elses_team(installation: Installation) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    with pytest.raises(NotFound):
        await installation.create_key(bert, team_id=anna.team_id)


async def test_an_unknown_scope_and_a_past_expiry_are_refused(installation: Installation) -> None:
    anna = await installation.register()
    with pytest.raises(UnknownScope):
        await installation.create_key(anna, scopes=("everything",))
    with pytest.raises(ExpiryInThePast):
        await installation.create_key(anna, expires_at=datetime.now(UTC) - timedelta(seconds=1))


async def test_a_key_gives_away_no_more_than_it_holds(installation: Installation) -> None:
    anna = await installation.register()
    maker = by_key(anna, "keys:write", "logs:read")
    await installation.create_key(maker, scopes=("logs:read",))
    for more in ("admin:*", "call:*", "audit:read"):
        with pytest.raises(NotAllowed):
            await installation.create_key(maker, scopes=(more,))
    administrator = by_key(anna, "admin:*")
    await installation.create_key(administrator, scopes=("admin:*", "call:*"))


async def test_a_key_without_the_scope_makes_and_revokes_none(installation: Installation) -> None:
    anna = await installation.register()
    created = await installation.create_key(anna)
    reader = by_key(anna, "keys:read", "call:*")
    with pytest.raises(NotAllowed):
        await installation.create_key(reader)
    with pytest.raises(NotAllowed):
        await installation.dispatch(RevokeApiKey(key_id=created.key_id), reader.context)


async def test_revoking_twice_is_one_event(installation: Installation) -> None:
    anna = await installation.register()
    created = await installation.create_key(anna)
    for _ in range(2):
        await installation.dispatch(RevokeApiKey(key_id=created.key_id), anna.context)
    assert len(await installation.store.read_stream(created.key_id)) == 2


async def test_nobody_revokes_somebody_elses_key(installation: Installation) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    created = await installation.create_key(anna)
    with pytest.raises(NotFound):
        await installation.dispatch(RevokeApiKey(key_id=created.key_id), bert.context)
    with pytest.raises(NotFound):
        await installation.dispatch(
            RevokeApiKey(key_id=created.key_id), Context(actor=Actor(id="anonymous"))
        )


async def change(
    installation: Installation, person: Person, key: CreatedApiKey, **changes: Any
) -> ChangedApiKey:
    command = ChangeApiKey(key_id=key.key_id, **changes)
    changed: ChangedApiKey = (await installation.dispatch(command, person.context)).result
    return changed


async def rotate(
    installation: Installation, person: Person, key: CreatedApiKey, grace: timedelta = HOUR
) -> ChangedApiKey:
    command = RotateApiKey(key_id=key.key_id, grace=grace)
    changed: ChangedApiKey = (await installation.dispatch(command, person.context)).result
    return changed


async def test_only_what_is_named_changes_and_only_what_changed_is_recorded(
    installation: Installation,
) -> None:
    anna = await installation.register()
    key = await installation.create_key(
        anna, description="old", expires_at=datetime.now(UTC) + HOUR
    )
    changed = await change(installation, anna, key, name="till", requests_per_minute=60)
    assert (changed.state.name, changed.state.description) == ("till", "old")
    assert len(await installation.store.read_stream(key.key_id)) == 2
    cleared = await change(installation, anna, key, description=None, expires_at=None)
    assert (cleared.state.description, cleared.state.expires_at) == (None, None)
    assert len(await installation.store.read_stream(key.key_id)) == 4


async def test_a_key_is_changed_to_nothing_that_could_not_be_made(
    installation: Installation,
) -> None:
    anna = await installation.register()
    key = await installation.create_key(anna)
    for wrong, refusal in (
        ({"scopes": ("everything",)}, UnknownScope),
        ({"expires_at": datetime.now(UTC) - timedelta(seconds=1)}, ExpiryInThePast),
        ({"allowed_cidrs": ("192.0.2.1/24",)}, NotANetwork),
    ):
        with pytest.raises(refusal):
            await change(installation, anna, key, name="half done", **wrong)
    with pytest.raises(NotANetwork):
        await installation.create_key(anna, allowed_cidrs=("everywhere",))
    assert len(await installation.store.read_stream(key.key_id)) == 1


async def test_nobody_grants_by_a_change_or_a_new_secret_what_they_do_not_hold(
    installation: Installation,
) -> None:
    anna = await installation.register()
    strong = await installation.create_key(anna, scopes=("admin:*",))
    weak = await installation.create_key(anna, scopes=("call:*",))
    program = by_key(anna, "keys:write", "call:*")
    for act in (
        change(installation, program, weak, scopes=("call:*", "audit:read")),
        change(installation, program, strong, expires_at=None, name="mine"),
        rotate(installation, program, strong),
    ):
        with pytest.raises(NotAllowed):
            await act
    assert len(await installation.store.read_stream(strong.key_id)) == 1
    await rotate(installation, program, weak)
    await change(installation, program, strong, scopes=("call:*",))  # less is for everybody
    await rotate(installation, program, strong)


async def test_a_rotated_keys_secrets_are_kept_as_hashes_only(installation: Installation) -> None:
    anna = await installation.register()
    key = await installation.create_key(anna)
    rotated = await rotate(installation, anna, key)
    assert looks_like_key(rotated.key)
    assert rotated.key != key.key
    assert rotated.key.startswith(rotated.state.prefix)
    assert rotated.state.secret_hash == hash_of(rotated.key)
    assert rotated.state.retiring_hash == hash_of(key.key)
    for event in await installation.store.read_stream(key.key_id):
        for secret, prefix in ((key.key, key.prefix), (rotated.key, rotated.state.prefix)):
            assert secret.removeprefix(prefix).encode() not in event.data


async def test_rotations_at_the_same_time_happen_one_after_the_other(
    installation: Installation,
) -> None:
    anna = await installation.register()
    key = await installation.create_key(anna)
    rotated = await asyncio.gather(*(rotate(installation, anna, key) for _ in range(8)))
    made = {hash_of(each.key) for each in rotated}
    before = [each.state.retiring_hash for each in rotated]
    assert len(set(before)) == 8
    assert set(before) < {hash_of(key.key), *made}


async def test_a_key_that_is_over_is_neither_changed_nor_rotated(
    installation: Installation,
) -> None:
    anna = await installation.register()
    gone = await installation.create_key(anna)
    await installation.dispatch(RevokeApiKey(key_id=gone.key_id), anna.context)
    for act in (change(installation, anna, gone, name="x"), rotate(installation, anna, gone)):
        with pytest.raises(KeyRevoked):
            await act
    expired = await installation.create_key(anna)
    over = ApiKeyExpirySet(key_id=expired.key_id, expires_at=datetime.now(UTC))
    await installation.append(expired.key_id, over, after=1)
    with pytest.raises(KeyExpired):
        await rotate(installation, anna, expired)


async def test_whoever_holds_a_key_can_report_it_and_nobody_else(
    installation: Installation,
) -> None:
    anna = await installation.register()
    key, told = await installation.create_key(anna), await installation.create_key(anna)
    reporter = Context(actor=Actor(id="somebody"))

    async def report(*found: tuple[CreatedApiKey, str], revoke: bool = True) -> None:
        command = ReportLeakedKeys(
            found=tuple(
                FoundKey(key_id=each.key_id, secret_hash=hash_of(secret), prefix=each.prefix)
                for each, secret in found
            ),
            reported_by="holder",
            revoke=revoke,
        )
        await installation.dispatch(command, reporter)

    await report()
    await report((key, told.key), (told, "no key"))
    for _ in range(2):
        await report((told, told.key), (told, told.key), revoke=False)
        await report((key, told.key), (key, key.key), (key, key.key))
    assert [event.topic for event in await installation.store.read_stream(key.key_id)][1:] == [
        "api_keys.ApiKeyLeaked@1",
        "api_keys.ApiKeyRevoked@1",
    ]
    assert [event.topic for event in await installation.store.read_stream(told.key_id)][1:] == [
        "api_keys.ApiKeyLeaked@1"
    ]


async def mails(installation: Installation) -> list[dict[str, Any]]:
    """The mails that were asked for, with what they say."""
    rows = await installation.query(
        "SELECT state FROM events WHERE topic ~ 'MailRequested' ORDER BY notification_id"
    )
    found = [msgspec.json.decode(row["state"], type=MailRequested) for row in rows]
    await installation.vault.load(
        subjects_in(b"".join(text.encode() for mail in found for text in mail.parameters.values()))
    )
    return [
        {
            "user_id": mail.user_id,
            "template": mail.template,
            **{
                name: installation.vault.open(text, purpose=PARAMETER_PURPOSE)
                for name, text in mail.parameters.items()
            },
        }
        for mail in found
    ]


def leak_of(key: CreatedApiKey, *, revoke: bool = True) -> ReportLeakedKeys:
    found = FoundKey(key_id=key.key_id, secret_hash=hash_of(key.key), prefix=key.prefix)
    return ReportLeakedKeys(found=(found,), reported_by="holder", revoke=revoke)


async def test_the_mail_says_which_secret_it_was_and_what_became_of_it(
    installation: Installation,
) -> None:
    anna = await installation.register()
    keys = [await installation.create_key(anna) for _ in range(3)]
    await rotate(installation, anna, keys[1])
    for key, revoke in zip(keys, (True, True, False), strict=True):
        await installation.dispatch(
            leak_of(key, revoke=revoke), Context(actor=Actor(id="somebody"))
        )
    told = {mail["prefix"]: mail["outcome"] for mail in await mails(installation)}
    outcomes = ("revoked", "secret_ended", "still_works")
    assert told == {key.prefix: outcome for key, outcome in zip(keys, outcomes, strict=True)}


async def test_the_owners_of_a_leaked_keys_team_are_told_once_and_nobody_else(
    installation: Installation,
) -> None:
    anna, bert, cleo = [await installation.register(name) for name in ("anna", "bert", "cleo")]
    team_id = (await installation.dispatch(CreateTeam(name="Shop"), anna.context)).result.team_id
    members = [
        MemberAdded(user_id=bert.user_id, role=Role.OWNER),
        MemberAdded(user_id=cleo.user_id, role=Role.ADMIN),
    ]
    await installation.append(team_id, *members, after=2)
    anna.context = Context(
        actor=msgspec.structs.replace(
            anna.context.actor,
            grants={**anna.context.actor.grants, team_id: SCOPES_OF[Role.OWNER]},
        )
    )
    shared = await installation.create_key(anna, team_id=team_id, name="till")
    own = await installation.create_key(anna)
    for key in (shared, own, shared):
        await installation.dispatch(leak_of(key), Context(actor=Actor(id="somebody")))
    told = await mails(installation)
    assert {mail["template"] for mail in told} == {"key_leaked"}
    assert sorted((mail["user_id"], mail["name"], mail["prefix"]) for mail in told) == sorted(
        [
            (anna.user_id, "till", shared.prefix),
            (bert.user_id, "till", shared.prefix),
            (anna.user_id, "a key", own.prefix),
        ]
    )


async def test_a_leaked_key_is_shut_out_also_when_its_owner_was_erased(
    installation: Installation,
) -> None:
    anna = await installation.register()
    key = await installation.create_key(anna)
    await installation.vault.destroy([anna.user_id])
    await installation.another_bus().dispatch(leak_of(key), Context(actor=Actor(id="somebody")))
    assert len(await installation.store.read_stream(key.key_id)) == 3
    assert await mails(installation) == []


async def test_a_worker_with_the_right_in_one_team_revokes_there_and_nowhere_else(
    installation: Installation,
) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    theirs, others = await installation.create_key(anna), await installation.create_key(bert)
    worker = Context(actor=Actor.worker("departures", "keys:write", team_id=anna.team_id))
    await installation.dispatch(
        RevokeApiKey(key_id=theirs.key_id, reason="its maker left the team"), worker
    )
    assert len(await installation.store.read_stream(theirs.key_id)) == 2
    with pytest.raises(NotFound):
        await installation.dispatch(RevokeApiKey(key_id=others.key_id), worker)
