"""Mail into a folder, one file per letter: where there is no mail server yet.

The name begins with the time, so the newest stands last; a letter that is sent again replaces
itself. Only the owner of the folder may read it: the letters hold links that open accounts.
"""

import asyncio
import contextlib
import os
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from pathlib import Path

from infrastructure.mail import KeptMail, MailAway, OutgoingMail
from infrastructure.mail.mime import build

KEPT = 500
NAME_FORM = "%Y%m%dT%H%M%S"


class FolderMailer:
    """Writes letters as .eml files and keeps the newest."""

    def __init__(self, folder: Path, *, sender: Address, kept: int = KEPT) -> None:
        self._folder = folder
        self._sender = sender
        self._kept = kept

    async def send(self, mail: OutgoingMail) -> None:
        """Write the letter; raises `MailAway` while the folder cannot be written to."""
        if not mail.keep:
            return
        content = build(mail, sender=self._sender).as_bytes()
        name = f"{mail.requested_at.astimezone(UTC):{NAME_FORM}}-{mail.mail_id}.eml"
        try:
            await asyncio.to_thread(self._write, name, content)
        except OSError as error:
            raise MailAway(
                f"the mailbox cannot be written to: {error.strerror}", for_all=True
            ) from error

    async def forget(self, mail_ids: Collection[str]) -> None:
        """Delete these letters."""
        await asyncio.to_thread(self._delete, mail_ids)

    def _delete(self, mail_ids: Collection[str]) -> None:
        for file in self._folder.glob("*.eml"):
            if any(file.stem.endswith(f"-{mail_id}") for mail_id in mail_ids):
                file.unlink(missing_ok=True)

    def _write(self, name: str, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = self._folder / f".{name}"
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        unfinished.replace(self._folder / name)
        for old in sorted(self._folder.glob("*.eml"))[: -self._kept]:
            with contextlib.suppress(FileNotFoundError):
                old.unlink()


class FolderMailbox:
    """Reads what `FolderMailer` wrote. A letter may vanish meanwhile: the oldest make room."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def newest(self, *, offset: int, limit: int) -> tuple[int, Sequence[KeptMail]]:
        """Return how many there are and a part of them, the newest first."""
        return await asyncio.to_thread(self._newest, offset, limit)

    async def read(self, mail_id: str) -> tuple[KeptMail, str] | None:
        """Return a letter and its text, None when it is not there."""
        return await asyncio.to_thread(self._read, mail_id)

    def _newest(self, offset: int, limit: int) -> tuple[int, Sequence[KeptMail]]:
        files = sorted(self.folder.glob("[!.]*.eml"), reverse=True)
        found = []
        for file in files[offset : offset + limit]:
            with contextlib.suppress(FileNotFoundError), file.open("rb") as content:
                message = BytesParser(EmailMessage, policy=default).parse(content, headersonly=True)
                found.append(_kept(file, message))
        return len(files), found

    def _read(self, mail_id: str) -> tuple[KeptMail, str] | None:
        for file in self.folder.glob("[!.]*.eml"):
            if not file.stem.endswith(f"-{mail_id}"):
                continue
            with contextlib.suppress(FileNotFoundError):
                content = file.read_bytes()
                message = BytesParser(EmailMessage, policy=default).parsebytes(content)
                body = message.get_body(("plain",))
                text = body.get_content() if body is not None else ""
                return _kept(file, message), text.replace("\r\n", "\n")
        return None


def _kept(file: Path, message: EmailMessage) -> KeptMail:
    moment, _, mail_id = file.stem.partition("-")
    return KeptMail(
        mail_id=mail_id,
        recipient=str(message["To"]),
        subject=str(message["Subject"]),
        requested_at=datetime.strptime(moment, NAME_FORM).replace(tzinfo=UTC),
    )
