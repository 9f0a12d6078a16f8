"""What the bus remembers: the newest, not too much, and people not for long."""

import msgspec

from commands.states import PERSONAL_SECONDS_MAX, StateCache


class Thing(msgspec.Struct, frozen=True):
    name: str


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_state_that_tells_of_a_person_is_forgotten_after_a_minute_however_often_it_is_used() -> (
    None
):
    clock = Clock()
    cache = StateCache(10, clock)
    cache.put("usr-1", Thing("anna"), 1, personal=True)
    cache.put("dpl-1", Thing("hello"), 1)
    clock.now += PERSONAL_SECONDS_MAX / 2
    cache.put("usr-1", Thing("anna"), 2, personal=True)
    assert cache.get("usr-1") == (Thing("anna"), 2)
    clock.now += PERSONAL_SECONDS_MAX / 2
    assert cache.get("dpl-1") == (Thing("hello"), 1)
    assert cache.get("usr-1") is None
    assert not cache.is_personal("usr-1")


def test_an_older_state_does_not_replace_a_newer_one() -> None:
    cache = StateCache(10)
    cache.put("dpl-1", Thing("new"), 2)
    cache.put("dpl-1", Thing("old"), 1)
    assert cache.get("dpl-1") == (Thing("new"), 2)


def test_the_state_used_longest_ago_goes_first() -> None:
    cache = StateCache(2)
    cache.put("dpl-1", Thing("1"), 1)
    cache.put("usr-2", Thing("2"), 1, personal=True)
    assert cache.get("dpl-1") is not None
    cache.put("dpl-3", Thing("3"), 1)
    assert cache.get("usr-2") is None
    assert cache.get("dpl-1") is not None
    assert not cache.is_personal("usr-2")
