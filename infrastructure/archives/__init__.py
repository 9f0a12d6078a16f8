"""Archives that strangers made: taken apart without believing a word of them.

An archive is a zip or a gzipped tar. Nothing that it says of itself is trusted: sizes are counted
while it is inflated, names are checked and never used on our disk, modes are reduced to one bit,
and whatever is neither a file nor a folder is refused. What is left is packed again, *canonically*:
the same files always give the same bytes, so that their *digest* names them.
"""

from typing import ClassVar

import msgspec

from domain.kernel.errors import RuleViolated


class ArchiveRefused(RuleViolated):
    """There is something in this archive that is not taken."""


class ArchiveTooLarge(RuleViolated):
    """This archive has more in it than is taken."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much an archive may hold."""

    RATIO_MAX: ClassVar[int] = 100
    """Inflated bytes for each byte of the archive."""
    FREE_BYTES: ClassVar[int] = 1024 * 1024
    """What may come out of however small an archive: few files, padded to blocks, shrink well."""

    bytes_max: int = 256 * 1024**2
    """All files together, inflated."""
    files_max: int = 10_000
    depth_max: int = 20

    def inflated_max(self, archive_bytes: int) -> int:
        """Return what may come out of an archive of this size."""
        return min(self.bytes_max, max(self.FREE_BYTES, self.RATIO_MAX * archive_bytes))
