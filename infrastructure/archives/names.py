"""What a file in an archive may be called."""

import re
import unicodedata

from infrastructure.archives import ArchiveRefused, ArchiveTooLarge, Limits

PART_BYTES_MAX = 200
NAME_BYTES_MAX = 1024
LEFT_OUT = frozenset({".git", ".hg", ".svn", "__MACOSX"})
"""Histories, which hold what was taken out for good reasons, and what one system adds."""
_DRIVE = re.compile(r"[A-Za-z]:")
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Control characters, those that turn the reading direction, halves of characters, line ends."""


class Names:
    """The names of one archive: each is checked alone, and against those before it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._spelling: dict[str, str] = {}
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._entries = 0

    def take(self, name: str, *, is_folder: bool) -> str | None:
        """Return the name to keep the file under; None for what is left out.

        Raises `ArchiveRefused` or `ArchiveTooLarge`.
        """
        self._entries += 1
        if self._entries > self._limits.files_max:
            raise ArchiveTooLarge(f"The archive has more than {self._limits.files_max} entries.")
        parts = checked(name, depth_max=self._limits.depth_max)
        if not parts or LEFT_OUT.intersection(parts):
            return None
        folders = parts if is_folder else parts[:-1]
        for end in range(1, len(folders) + 1):
            self._spell("/".join(folders[:end]), is_folder=True)
        if is_folder:
            return None
        path = "/".join(parts)
        self._spell(path, is_folder=False)
        return path

    def _spell(self, path: str, *, is_folder: bool) -> None:
        """Refuse two names that are one name on some computers, or a file that is a folder too."""
        folded = unicodedata.normalize("NFC", path).casefold()
        known = self._spelling.setdefault(folded, path)
        if known != path:
            raise ArchiveRefused(
                f"{shown(known)} and {shown(path)} differ only in how they are written."
            )
        if folded in self._files:
            raise ArchiveRefused(f"{shown(path)} is in the archive twice.")
        if is_folder:
            self._folders.add(folded)
        elif folded in self._folders:
            raise ArchiveRefused(f"{shown(path)} is a file and a folder.")
        else:
            self._files.add(folded)


def checked(name: str, *, depth_max: int) -> tuple[str, ...]:
    """Return the parts of a name; raises `ArchiveRefused` for one that is not taken."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise ArchiveRefused(f"The name {shown(name)} is not text.") from None
    if size > NAME_BYTES_MAX:
        raise ArchiveRefused(f"The name {shown(name)} is too long.")
    if any(unicodedata.category(character) in _INVISIBLE for character in name):
        raise ArchiveRefused(f"The name {shown(name)} has characters that nobody can see.")
    if name.startswith("/") or _DRIVE.match(name) or "\\" in name:
        raise ArchiveRefused(f"The name {shown(name)} is not relative, with slashes.")
    parts = tuple(part for part in name.split("/") if part not in {"", "."})
    if ".." in parts:
        raise ArchiveRefused(f"The name {shown(name)} leads out of the archive.")
    if any(len(part.encode()) > PART_BYTES_MAX for part in parts):
        raise ArchiveRefused(f"The name {shown(name)} is too long.")
    if len(parts) > depth_max:
        raise ArchiveRefused(f"The name {shown(name)} is more than {depth_max} folders deep.")
    return parts


def shown(name: str) -> str:
    """Return the name as it can be shown to somebody: short, and without tricks."""
    return ascii(name[:80])
