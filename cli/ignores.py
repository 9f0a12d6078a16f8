"""What of a folder is not uploaded: the patterns of `.gitignore`, and of `.tallyportignore`.

As git reads them: the last pattern that fits decides, `!` takes a file in again, a slash at the end
means folders only, one elsewhere ties the pattern to its place, `**` stands for any folders.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

ALWAYS = (
    ".git/",
    ".hg/",
    ".svn/",
    "node_modules/",
    "__pycache__/",
    ".venv/",
    "venv/",
    ".env",
    ".env.*",
    "!.env.example",
    ".DS_Store",
    "*.pyc",
    ".mypy_cache/",
    ".pytest_cache/",
    ".ruff_cache/",
    "/tallyport.toml",
    "/.tallyportignore",
)
"""Never code, or never to leave the machine; a file may take some of it in again with `!`."""


@dataclass(frozen=True)
class Pattern:
    """One line of a file of patterns."""

    expression: re.Pattern[str]
    takes_in: bool
    folders_only: bool


def patterns_of(lines: Iterable[str]) -> list[Pattern]:
    """Return the patterns of these lines, without comments."""
    found = []
    for line in lines:
        text = line.rstrip("\r\n")
        text = text if text.endswith("\\ ") else text.rstrip(" ")
        if not text or text.startswith("#"):
            continue
        takes_in = text.startswith("!")
        text = text[1:] if takes_in else text
        folders_only = text.endswith("/")
        found.append(Pattern(_expression(text.rstrip("/")), takes_in, folders_only))
    return found


def is_ignored(path: str, patterns: Iterable[Pattern], *, is_folder: bool) -> bool:
    """Tell whether a file or folder, named from the top with `/`, is left out."""
    ignored = False
    for pattern in patterns:
        if (is_folder or not pattern.folders_only) and pattern.expression.fullmatch(path):
            ignored = not pattern.takes_in
    return ignored


def _expression(glob: str) -> re.Pattern[str]:
    tied = "/" in glob
    glob = glob.removeprefix("/")
    parts = [] if tied else ["(?:.*/)?"]
    place = 0
    while place < len(glob):
        rest = glob[place:]
        if rest.startswith("**/"):
            parts.append("(?:.*/)?")
            place += 3
        elif rest == "**":
            parts.append(".*")
            place += 2
        elif rest[0] == "\\" and len(rest) > 1:
            parts.append(re.escape(rest[1]))
            place += 2
        elif match := re.match(r"\[([!^]?)(\]?[^\]]*)\]", rest):
            inside = match[2].replace("\\", "\\\\").replace("[", "\\[").replace("^", "\\^")
            parts.append(f"[{'^' if match[1] else ''}{inside}]")
            place += match.end()
        else:
            parts.append({"*": "[^/]*", "?": "[^/]"}.get(rest[0]) or re.escape(rest[0]))
            place += 1
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error:  # brackets that are none: taken as they are written
        return re.compile(re.escape(glob))
