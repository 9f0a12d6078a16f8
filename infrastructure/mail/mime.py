"""A letter as a MIME message: plain text first, the same as HTML beside it.

Headers are written by the standard library's policy, which refuses line ends in a value. Everything
in the message follows from the letter, so that it is the same when it is sent again.
"""

import re
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime, parseaddr

from email_validator import EmailNotValidError, validate_email

from infrastructure.mail import MailRefused, OutgoingMail

_PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")


def build(mail: OutgoingMail, *, sender: Address) -> EmailMessage:
    """Return the message; raises `MailRefused` for an address that no header can hold."""
    try:
        to = _address(mail.recipient)
        message = EmailMessage(policy=SMTP if to.username.isascii() else SMTPUTF8)
        message["From"] = sender
        message["To"] = to
        message["Subject"] = mail.subject
        message["Date"] = format_datetime(mail.requested_at)
        message["Message-ID"] = f"<{mail.mail_id}@{sender.domain}>"
    except ValueError as error:
        raise MailRefused("the address or the subject cannot be written") from error
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: holiday notices keep quiet
    # A link stays in one piece for whoever reads the file as it is.
    message.set_content(mail.text, cte="7bit" if mail.text.isascii() else None)
    message.add_alternative(mail.html, subtype="html")
    message.set_boundary(f"=_{mail.mail_id}")
    return message


def sender_address(text: str) -> Address:
    """Return `Name <local@domain>` or a bare address; raises `ValueError` with what is wrong."""
    name, spec = parseaddr(text)
    if not _PLAIN_ADDRESS.fullmatch(spec) or not text.isprintable():
        raise ValueError("must be an address without accents, or: Name <address>")
    return Address(name, addr_spec=spec)


def _address(text: str) -> Address:
    """Return the address with its domain as DNS has it. Whether it exists nobody asks here."""
    try:
        checked = validate_email(text, check_deliverability=False)
    except EmailNotValidError as error:
        raise ValueError(str(error)) from error
    return Address(username=checked.local_part, domain=checked.ascii_domain)
