from itertools import pairwise

from domain.kernel.permissions import SCOPES, covers
from domain.teams.values import SCOPES_OF, Role


def test_each_role_may_do_all_that_the_next_one_may() -> None:
    for higher, lower in pairwise(Role):
        assert SCOPES_OF[higher] > SCOPES_OF[lower]


def test_an_owner_may_do_everything() -> None:
    assert all(covers(SCOPES_OF[Role.OWNER], scope) for scope in SCOPES)


def test_a_viewer_changes_nothing() -> None:
    assert not [scope for scope in SCOPES_OF[Role.VIEWER] if not scope.endswith(":read")]


def test_who_may_call_everything_may_call_one_thing() -> None:
    assert covers({"call:*"}, "call:dpl-0123456789")
    assert not covers({"call:dpl-0123456789"}, "call:*")
    assert not covers({"call:dpl-0123456789"}, "call:dpl-9876543210")
