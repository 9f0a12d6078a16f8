from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise

import msgspec
import pytest

from domain.kernel.errors import NotFound
from domain.kernel.events import Event
from domain.kernel.lookalikes import skeleton
from domain.kernel.permissions import SCOPES, covers, within
from domain.teams.events import (
    InvitationAccepted,
    InvitationCreated,
    InvitationRevoked,
    MemberAdded,
    MemberLeft,
    MemberRemoved,
    MemberRoleChanged,
    TeamCreated,
    TeamDeleted,
    TeamRenamed,
)
from domain.teams.team import (
    INVITATIONS_MAX,
    TEAM,
    AlreadyMember,
    LastOwner,
    RoleTooLow,
    Team,
    TeamNotEmpty,
    TooManyInvitations,
)
from domain.teams.values import SCOPES_OF, InvalidTeamName, InvitationOver, Role, team_name
from tests.scenario import given

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)
ANNA, BERT, CARL, DORA, EMIL = (f"usr-000000000{number}" for number in range(1, 6))

created = TeamCreated(team_id="org-0000000002", name="Acme")
anna_owns = MemberAdded(user_id=ANNA, role=Role.OWNER)
team = (
    created,
    anna_owns,
    MemberAdded(user_id=BERT, role=Role.ADMIN),
    MemberAdded(user_id=CARL, role=Role.DEVELOPER),
    MemberAdded(user_id=DORA, role=Role.VIEWER),
)
invited = InvitationCreated(
    invitation_id="inv-0000000001",
    address="sealed",
    role=Role.DEVELOPER,
    invited_by=ANNA,
    nonce="nonce",
    expires_at=NOW + timedelta(hours=72),
)


def rename(name: str, by: Role, team: Team) -> list[Event]:
    return team.rename(name, by=by)


def step(to: Role, team: Team) -> list[Event]:
    """Carl, a developer, changes what he is."""
    return team.change_role(CARL, to, by=Role.DEVELOPER, own=True)


def test_each_role_may_do_all_that_the_next_one_may() -> None:
    for higher, lower in pairwise(Role):
        assert SCOPES_OF[higher] > SCOPES_OF[lower]
        assert higher.outranks(lower)
        assert not lower.outranks(higher)
        assert not higher.outranks(higher)


def test_an_owner_may_do_everything() -> None:
    assert all(covers(SCOPES_OF[Role.OWNER], scope) for scope in SCOPES)


def test_a_viewer_changes_nothing() -> None:
    assert not [scope for scope in SCOPES_OF[Role.VIEWER] if not scope.endswith(":read")]


def test_who_may_call_everything_may_call_one_thing() -> None:
    assert covers({"call:*"}, "call:dpl-0123456789")
    assert not covers({"call:dpl-0123456789"}, "call:*")
    assert not covers({"call:dpl-0123456789"}, "call:dpl-9876543210")


def test_admins_and_owners_rename_a_team() -> None:
    for by in Role:
        renamed = given(TEAM, *team).when(partial(rename, "Ajax", by))
        if by in {Role.OWNER, Role.ADMIN}:
            renamed.then(TeamRenamed(name="Ajax"))
        else:
            renamed.then_refused(RoleTooLow)
    given(TEAM, *team).when(lambda t: t.rename("Acme", by=Role.OWNER)).then_nothing_happened()


def test_only_an_owner_deletes_a_team_and_only_an_empty_one() -> None:
    (
        given(TEAM, created, anna_owns, invited)
        .when(lambda t: t.delete(by=Role.OWNER, left={"deployments": 0}))
        .then(
            InvitationRevoked(invitation_id="inv-0000000001", reason="team deleted"),
            TeamDeleted(member_ids=(ANNA,)),
        )
        .then_state(members={}, invitations={}, deleted=True)
    )
    given(TEAM, *team).when(lambda t: t.delete(by=Role.ADMIN, left={})).then_refused(RoleTooLow)
    given(TEAM, *team).when(lambda t: t.delete(by=Role.OWNER, left={"keys": 1})).then_refused(
        TeamNotEmpty
    )


@pytest.mark.parametrize(
    ("by", "whom", "to", "allowed"),
    [
        (Role.OWNER, BERT, Role.OWNER, True),
        (Role.OWNER, DORA, Role.ADMIN, True),
        (Role.ADMIN, DORA, Role.ADMIN, True),
        (Role.ADMIN, CARL, Role.VIEWER, True),
        (Role.ADMIN, CARL, Role.OWNER, False),
        (Role.ADMIN, ANNA, Role.VIEWER, False),
        (Role.DEVELOPER, DORA, Role.DEVELOPER, False),
        (Role.DEVELOPER, BERT, Role.VIEWER, False),
        (Role.VIEWER, CARL, Role.VIEWER, False),
    ],
)
def test_nobody_gives_a_role_above_their_own_nor_takes_one(
    *, by: Role, whom: str, to: Role, allowed: bool
) -> None:
    change = given(TEAM, *team).when(lambda t: t.change_role(whom, to, by=by, own=False))
    if allowed:
        previously = TEAM.replay(team).members[whom]  # type: ignore[union-attr] # it is there
        change.then(MemberRoleChanged(user_id=whom, role=to, previously=previously))
    else:
        change.then_refused(RoleTooLow)


def test_one_steps_down_oneself_but_never_up() -> None:
    for to in (Role.OWNER, Role.ADMIN):
        given(TEAM, *team).when(partial(step, to)).then_refused(RoleTooLow)
    given(TEAM, *team).when(partial(step, Role.VIEWER)).then(
        MemberRoleChanged(user_id=CARL, role=Role.VIEWER, previously=Role.DEVELOPER)
    )
    given(TEAM, *team).when(partial(step, Role.DEVELOPER)).then_nothing_happened()


def test_a_team_keeps_an_owner() -> None:
    scenario = given(TEAM, *team)
    scenario.when(lambda t: t.change_role(ANNA, Role.VIEWER, by=Role.OWNER, own=True)).then_refused(
        LastOwner
    )
    given(TEAM, *team).when(lambda t: t.leave(ANNA)).then_refused(LastOwner)
    given(TEAM, *team).when(lambda t: t.remove(ANNA, by=Role.OWNER)).then_refused(LastOwner)
    two = (*team, MemberAdded(user_id=EMIL, role=Role.OWNER))
    given(TEAM, *two).when(lambda t: t.leave(ANNA)).then(MemberLeft(user_id=ANNA))


def test_admins_remove_others_but_no_owner_and_anybody_leaves() -> None:
    given(TEAM, *team).when(lambda t: t.remove(CARL, by=Role.ADMIN)).then(
        MemberRemoved(user_id=CARL)
    )
    given(TEAM, *team).when(lambda t: t.remove(ANNA, by=Role.ADMIN)).then_refused(RoleTooLow)
    given(TEAM, *team).when(lambda t: t.remove(DORA, by=Role.DEVELOPER)).then_refused(RoleTooLow)
    given(TEAM, *team).when(lambda t: t.remove(EMIL, by=Role.OWNER)).then_refused(NotFound)
    given(TEAM, *team).when(lambda t: t.leave(DORA)).then(MemberLeft(user_id=DORA))


def invite(
    by: Role, team: Team, *, whom: str | None = None, instead_of: tuple[str, ...] = ()
) -> list[Event]:
    return team.invite(invited, by=by, whom=whom, instead_of=instead_of, now=NOW)


def test_an_invitation_gives_no_role_above_the_inviters_and_replaces_an_earlier_one() -> None:
    given(TEAM, *team).when(partial(invite, Role.ADMIN)).then(invited)
    given(TEAM, *team).when(partial(invite, Role.DEVELOPER)).then_refused(RoleTooLow)
    again = partial(invite, Role.ADMIN, instead_of=("inv-0000000001",))
    given(TEAM, *team, invited).when(again).then(
        InvitationRevoked(invitation_id="inv-0000000001", reason="replaced"), invited
    )
    owner = msgspec.structs.replace(invited, role=Role.OWNER)
    for by, allowed in ((Role.ADMIN, False), (Role.OWNER, True)):
        asked = given(TEAM, *team).when(
            lambda t, by=by: t.invite(owner, by=by, whom=None, instead_of=(), now=NOW)  # type: ignore[misc]
        )
        if allowed:
            asked.then(owner)
        else:
            asked.then_refused(RoleTooLow)


def test_a_member_is_not_invited_but_only_who_may_invite_learns_that() -> None:
    given(TEAM, *team).when(partial(invite, Role.ADMIN, whom=CARL)).then_refused(AlreadyMember)
    given(TEAM, *team).when(partial(invite, Role.VIEWER, whom=CARL)).then_refused(RoleTooLow)
    given(TEAM, *team).when(partial(invite, Role.ADMIN, whom=EMIL)).then(invited)


def test_there_are_only_so_many_open_invitations_and_expired_ones_do_not_count() -> None:
    def full(expires_at: datetime) -> list[Event]:
        return [
            msgspec.structs.replace(
                invited, invitation_id=f"inv-{number:010d}", expires_at=expires_at
            )
            for number in range(INVITATIONS_MAX)
        ]

    past = (*team, *full(invited.expires_at))
    given(TEAM, *past).when(partial(invite, Role.OWNER)).then_refused(TooManyInvitations)
    replaced = given(TEAM, *past).when(partial(invite, Role.OWNER, instead_of=("inv-0000000000",)))
    assert len(replaced.events) == 2
    after = given(TEAM, *team, *full(NOW)).when(partial(invite, Role.OWNER))
    assert len(after.events) == INVITATIONS_MAX + 1
    state = TEAM.replay(after.events, after.state)
    assert state is not None
    assert list(state.invitations) == ["inv-0000000001"]


def test_an_invitation_is_accepted_once() -> None:
    (
        given(TEAM, *team, invited)
        .when(lambda t: t.accept("inv-0000000001", EMIL))
        .then(
            InvitationAccepted(invitation_id="inv-0000000001", user_id=EMIL),
            MemberAdded(user_id=EMIL, role=Role.DEVELOPER),
        )
        .then_state(invitations={})
    )
    given(TEAM, *team, invited).when(lambda t: t.accept("inv-0000000001", CARL)).then_refused(
        AlreadyMember
    )


def test_a_link_opens_only_an_open_invitation() -> None:
    state = TEAM.replay([*team, invited])
    assert state is not None
    assert state.open_invitation("nonce", now=NOW)[0] == "inv-0000000001"
    for nonce, now in (("other", NOW), ("nonce", invited.expires_at)):
        with pytest.raises(InvitationOver):
            state.open_invitation(nonce, now=now)
    over = TEAM.replay([InvitationRevoked(invitation_id="inv-0000000001", reason="x")], state)
    assert over is not None
    with pytest.raises(InvitationOver):
        over.open_invitation("nonce", now=NOW)


def test_invitations_are_taken_back_by_who_could_have_made_them() -> None:
    given(TEAM, *team, invited).when(lambda t: t.revoke("inv-0000000001", by=Role.ADMIN)).then(
        InvitationRevoked(invitation_id="inv-0000000001", reason="revoked")
    )
    given(TEAM, *team, invited).when(
        lambda t: t.revoke("inv-0000000001", by=Role.VIEWER)
    ).then_refused(RoleTooLow)
    given(TEAM, *team).when(lambda t: t.revoke("inv-0000000001", by=Role.OWNER)).then_refused(
        NotFound
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "x" * 81,
        "a\u200bb",
        "a\u202eb",
        "a\nb",
        "a\0b",
        "a\u00a0b",
        "a  b",
        "\ud800",
        "a\u2028b",
    ],
)
def test_a_name_that_cannot_be_seen_as_it_is_is_refused(text: str) -> None:
    with pytest.raises(InvalidTeamName):
        team_name(text)


def test_two_spellings_of_a_name_are_kept_alike() -> None:
    assert team_name(" Cafe\u0301 ") == team_name("Caf\u00e9") == "Café"
    assert team_name("日本 🍣") == "日本 🍣"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Acme", "ACME"),
        ("Acme", "\u0410cme"),
        ("Acme", "\uff21cme"),
        ("tool", "t00l"),
        ("team l", "team 1"),
    ],
)
def test_names_that_look_alike_have_one_skeleton(one: str, other: str) -> None:
    assert skeleton(one) == skeleton(other)


def test_names_that_look_different_have_two() -> None:
    names = ["mail", "mall", "acme", "acne", "über", "uber", "日本", "日木"]
    assert len({skeleton(name) for name in names}) == len(names)


def test_of_what_a_key_may_do_that_is_left_which_its_maker_may_and_calling() -> None:
    viewer, admin = SCOPES_OF[Role.VIEWER], SCOPES_OF[Role.ADMIN]
    assert within(("keys:read", "keys:write", "call:*"), viewer) == {"keys:read", "call:*"}
    assert within(("admin:*",), admin) == admin
    assert within(("admin:*", "call:*"), viewer) == viewer | {"call:*"}
    assert within(("admin:*", "keys:write"), SCOPES_OF[Role.OWNER]) == {"admin:*", "keys:write"}
