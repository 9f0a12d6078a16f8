"""Webhooks: the log, told to the servers of teams, each message at least once.

- `follower.py` reads the log and writes a message into the ledger for each endpoint that wants it,
  once, however often it starts anew; and again what is to be replayed.
- `sender.py` sends what is due, again at growing intervals until it is taken, and remembers every
  answer. It sends first and marks after, so whoever is killed in between sends twice, under the
  same `webhook-id`. Each endpoint has its own queue and its own few places; those that take nothing
  share half of the places at most, so a dead one delays nobody. The order is not promised.
- `signing.py` is what Standard Webhooks says about headers.
"""

import msgspec

MINUTE, HOUR = 60.0, 3600.0


class SenderOptions(msgspec.Struct, frozen=True, kw_only=True):
    """All limits of the sender."""

    at_once_max: int = 100
    """Messages on their way at the same time."""
    per_endpoint_max: int = 8
    """The same for one endpoint; for one that takes nothing it is 1."""
    failing_share: float = 0.5
    """So much of all places may be taken by endpoints that take nothing."""
    further_share: float = 0.75
    """Once so much of all places is taken, an endpoint gets one and no further ones."""
    unproven_share: float = 0.25
    """The same for an endpoint of which it is not known yet that it takes anything."""
    unproven_at_once: int = 4
    """So many to such endpoints begin together; what is under way goes on before more begin."""
    rest_share: float = 0.1
    """Who failed twice in a row rests for so much of the time for which it has taken nothing."""
    rest_seconds_min: float = 1.0
    rest_seconds_max: float = 60.0
    waits_seconds: tuple[float, ...] = (
        5.0,
        5 * MINUTE,
        30 * MINUTE,
        2 * HOUR,
        5 * HOUR,
        10 * HOUR,
        14 * HOUR,
        20 * HOUR,
        24 * HOUR,
    )
    """Between two tries of a message; after the last it has failed."""
    retry_after_seconds_max: float = 24 * HOUR
    jitter: float = 0.2
    """Up to so much is added to a wait or a rest by chance, so that they do not end together."""
    disable_days: float = 3.0
    """Days without one message taken, after which an endpoint is disabled."""
    retention_days: float = 30.0
    """Days a message that is done with is kept."""
    look_seconds: float = 5.0
    """So often it looks without being told that anything is new."""
