import email
from datetime import UTC, datetime, timedelta
from email.headerregistry import Address
from email.policy import default
from pathlib import Path

import msgspec
import pytest

from infrastructure.mail import MailAway, OutgoingMail
from infrastructure.mail.mailbox import FolderMailbox, FolderMailer

SENDER = Address("Tallyport", "no-reply", "localhost")
FIRST = datetime(2026, 11, 23, 6, tzinfo=UTC)


def letter(number: int) -> OutgoingMail:
    return OutgoingMail(
        mail_id=f"mai-{number:010d}",
        recipient="anna@example.com",
        subject=f"Letter {number}",
        text="Hello\n",
        html="<p>Hello</p>",
        requested_at=FIRST + timedelta(seconds=number),
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_letter_is_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "mail"
    await FolderMailer(folder, sender=SENDER).send(letter(1))
    [file] = folder.iterdir()
    assert file.name == "20261123T060001-mai-0000000001.eml"
    assert file.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    message = email.message_from_bytes(file.read_bytes(), policy=default)
    assert (message["Subject"], message["To"]) == ("Letter 1", "anna@example.com")


async def test_a_letter_that_is_sent_again_replaces_itself(tmp_path: Path) -> None:
    mailbox = FolderMailer(tmp_path, sender=SENDER)
    (tmp_path / ".20261123T060001-mai-0000000001.eml").write_text("half a let")
    for _ in range(2):
        await mailbox.send(letter(1))
    assert names(tmp_path) == ["20261123T060001-mai-0000000001.eml"]


async def test_a_letter_of_which_no_copy_may_stay_leaves_none(tmp_path: Path) -> None:
    mailbox = FolderMailer(tmp_path, sender=SENDER)
    await mailbox.send(msgspec.structs.replace(letter(1), keep=False))
    assert names(tmp_path) == []


async def test_the_newest_are_kept(tmp_path: Path) -> None:
    mailbox = FolderMailer(tmp_path, sender=SENDER, kept=3)
    (tmp_path / "note.txt").write_text("not ours")
    for number in range(5):
        await mailbox.send(letter(number))
    kept = [f"20261123T06000{number}-mai-{number:010d}.eml" for number in (2, 3, 4)]
    assert names(tmp_path) == [*kept, "note.txt"]


async def test_a_folder_that_cannot_be_written_is_trouble_for_all_letters(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("a file where the folder should be")
    with pytest.raises(MailAway, match="cannot be written") as away:
        await FolderMailer(tmp_path / "mail", sender=SENDER).send(letter(1))
    assert away.value.for_all


async def test_what_was_written_is_read_again_the_newest_first(tmp_path: Path) -> None:
    mailer, mailbox = FolderMailer(tmp_path, sender=SENDER), FolderMailbox(tmp_path)
    assert await mailbox.newest(offset=0, limit=10) == (0, [])
    for number in range(3):
        await mailer.send(letter(number))
    (tmp_path / ".20261123T060009-mai-0000000009.eml").write_text("half a let")
    total, part = await mailbox.newest(offset=1, limit=1)
    assert (total, [mail.mail_id for mail in part]) == (3, ["mai-0000000001"])
    found = await mailbox.read("mai-0000000002")
    assert found is not None
    kept, text = found
    assert (kept.subject, kept.recipient, text) == ("Letter 2", "anna@example.com", "Hello\n")
    assert kept.requested_at == FIRST + timedelta(seconds=2)
    assert "anna" not in repr(kept)
    await mailer.forget(["mai-0000000002"])
    assert await mailbox.read("mai-0000000002") is None
