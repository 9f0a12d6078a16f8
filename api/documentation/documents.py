"""Every document of `docs/` as a page: its HTML, its headings, and its words to be found.

`docs/README.md` is the first page, and the list beside every other one. Links between documents
become links between pages; what a link outside of `docs/` leads to is not here, so it is none.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path, PurePosixPath
from posixpath import normpath

from markdown_it import MarkdownIt
from markdown_it.token import Token

FOLDER = Path(__file__).parent.parent.parent / "docs"
ROOT = "/help"
FOUND_MAX = 30
EXCERPT_CHARACTERS = 160
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")
_NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True)
class Part:
    """What stands under one heading."""

    anchor: str
    heading: str
    level: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Document:
    """One document."""

    path: str
    """Where it is shown."""
    title: str
    html: str
    parts: Sequence[Part]
    links: Sequence[str]
    """Where it leads to within the documentation, with anchors."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A line of the list of documents."""

    path: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Group:
    """A heading of the list, and the documents under it."""

    title: str
    entries: Sequence[Entry]


@dataclass(frozen=True, kw_only=True)
class Found:
    """A part of a document in which all words are."""

    path: str
    title: str
    heading: str
    excerpt: str


@cache
def files() -> Mapping[str, Path]:
    """Return the file of every document by where it is shown."""
    return {
        shown_at(file.relative_to(FOLDER).as_posix()): file for file in sorted(FOLDER.rglob("*.md"))
    }


@cache
def document(path: str) -> Document:
    """Return the document that is shown there; raises `KeyError` when there is none."""
    file = files()[path]
    name = file.relative_to(FOLDER).as_posix()
    tokens = _MARKDOWN.parse(file.read_text(encoding="utf-8"))
    links = tuple(_redirect(tokens, name))
    parts = tuple(_parts(tokens))
    return Document(
        path=path,
        title=parts[0].heading,
        html=_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {}),
        parts=parts,
        links=links,
    )


@cache
def groups() -> Sequence[Group]:
    """Return the list of documents, as the first page has it."""
    tokens = _MARKDOWN.parse((FOLDER / "README.md").read_text(encoding="utf-8"))
    found: list[Group] = []
    for before, token in pairwise(tokens):
        if before.type == "heading_open" and before.tag == "h2":
            found.append(Group(title=_plain(token), entries=()))
        elif token.type == "inline" and found:
            entries = tuple(_entries(token))
            found[-1] = Group(title=found[-1].title, entries=(*found[-1].entries, *entries))
    return tuple(found)


def find(words: str) -> Sequence[Found]:
    """Return where all words are, most likely first: in titles, in headings, then often."""
    wanted = [word.casefold() for word in _WORD.findall(words)]
    if not wanted:
        return ()
    scored = [
        (score, found, part)
        for found in map(document, files())
        for part in found.parts
        if (score := _score(wanted, found, part))
    ]
    scored.sort(key=lambda each: (-each[0], each[1].path))
    return tuple(
        Found(
            path=f"{found.path}#{part.anchor}",
            title=found.title,
            heading=part.heading,
            excerpt=_excerpt(part.text, wanted),
        )
        for _, found, part in scored[:FOUND_MAX]
    )


def shown_at(name: str) -> str:
    """Return where a document of this name within the folder is shown."""
    path = PurePosixPath(name)
    kept = path.parent if path.name == "README.md" else path.with_suffix("")
    return normpath(f"{ROOT}/{kept}")


def _redirect(tokens: Sequence[Token], name: str) -> Iterator[str]:
    """Let links lead to pages; yield those that stay within the documentation."""
    for token in tokens:
        opened: list[Token] = []
        for each in token.children or ():
            if each.type == "link_open":
                opened.append(each)
                target = _target(str(each.attrs["href"]), name)
                if target is None:
                    each.type, each.tag, each.attrs = "span_open", "span", {}
                else:
                    each.attrs["href"] = target
                    if target.startswith(ROOT):
                        yield target
            elif each.type == "link_close" and opened.pop().tag == "span":
                each.tag = "span"


def _target(href: str, name: str) -> str | None:
    """Return where a link leads here, None when what it leads to is not part of the package."""
    if "://" in href or href.startswith("/"):
        return href
    path, hash_, anchor = href.partition("#")
    inside = normpath((PurePosixPath(name).parent / path).as_posix()) if path else name
    if inside.startswith("..") or not inside.endswith(".md"):
        return None
    return f"{shown_at(inside)}{hash_}{anchor}"


def _parts(tokens: Sequence[Token]) -> Iterator[Part]:
    """Give every heading its anchor, as GitHub names it; yield what stands under each."""
    taken: Counter[str] = Counter()
    anchor, heading, level = "", "", 0
    words: list[str] = []
    for before, token in zip([None, *tokens], tokens, strict=False):
        if before is not None and before.type == "heading_open":
            if heading:
                yield Part(anchor=anchor, heading=heading, level=level, text=" ".join(words))
            heading, level, words = _plain(token), int(before.tag[1]), []
            named = _NOT_IN_ANCHORS.sub("", heading.lower()).replace(" ", "-")
            anchor = f"{named}-{taken[named]}" if taken[named] else named
            taken[named] += 1
            before.attrSet("id", anchor)
        elif token.type == "inline":
            words.append(_plain(token))
        elif token.type == "fence":
            words.append(token.content)
            token.info = token.info.partition(" ")[0]
    if heading:
        yield Part(anchor=anchor, heading=heading, level=level, text=" ".join(words))


def _plain(token: Token) -> str:
    return "".join(
        " " if each.type == "softbreak" else each.content for each in token.children or ()
    )


def _entries(token: Token) -> Iterator[Entry]:
    target: str | None = None
    for each in token.children or ():
        if each.type == "link_open":
            target = _target(str(each.attrs["href"]), "README.md")
        elif each.type == "text" and target is not None:
            yield Entry(path=target, title=each.content)
            target = None


def _score(wanted: Sequence[str], document: Document, part: Part) -> int:
    title, heading = document.title.casefold(), part.heading.casefold()
    text = part.text.casefold()
    if not all(word in title or word in heading or word in text for word in wanted):
        return 0
    return sum(
        100 * (word in title) + 30 * (word in heading) + min(20, text.count(word))
        for word in wanted
    )


def _excerpt(text: str, wanted: Sequence[str]) -> str:
    folded = text.casefold()
    places = [place for word in wanted if (place := folded.find(word)) >= 0]
    begin = max(0, min(places, default=0) - EXCERPT_CHARACTERS // 3)
    end = begin + EXCERPT_CHARACTERS
    return f"{'…' if begin else ''}{text[begin:end].strip()}{'…' if end < len(text) else ''}"
