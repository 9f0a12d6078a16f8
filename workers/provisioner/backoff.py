"""How long to wait before trying again what keeps failing: 1 s, doubling, to 5 minutes."""

import zlib

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 300.0
JITTER = 0.25
_DOUBLINGS_MAX = 16


def delay_seconds(failures: int, *, key: str) -> float:
    """Return the wait after so many failures in a row.

    The jitter comes from the key, not from chance: replicas that failed together do not come back
    together, and a provisioner that was restarted arrives at the same time again.
    """
    if failures <= 0:
        return 0.0
    doubled = FIRST_SECONDS * (1 << min(failures - 1, _DOUBLINGS_MAX))
    spread = zlib.crc32(f"{key}/{failures}".encode()) / 2**32
    return min(doubled, LONGEST_SECONDS) * (1 - JITTER * spread)
