"""The mails that stayed on this machine because there is no mail server, for its admins to read.

Without a mail server nobody else can hand a person their link. Whoever reads one could use it: so
this is for admins of the platform who proved lately to be themselves, and each reading is logged.
"""

import math
from datetime import datetime
from typing import Annotated

import structlog
from fastapi import APIRouter, Query
from starlette.responses import Response

from api.admin import must_be_platform_admin
from api.answers import respond
from api.guard import GuardedRoute
from api.lists import PAGE_MAX, Pagination
from api.openapi import refusals
from api.requests import Read, reading
from api.schemas import Input, Output, identifier
from domain.kernel.errors import NotFound
from domain.kernel.ids import is_id
from infrastructure.mail import KeptMail

router = APIRouter(route_class=GuardedRoute, prefix="/v1/admin/mailbox", tags=["Administration"])

MailId = Annotated[str, identifier("mai")]

NO_MAILBOX = "Mails are not shown here: they go through a mail server, or TALLYPORT_MAILBOX is off."

log = structlog.get_logger()


class MailboxQuery(Input):
    """Which part of the mailbox."""

    page: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 1
    limit: Annotated[int, Query(ge=1, le=100)] = 10


class MailShown(Output):
    """A mail, without what it says."""

    id: str
    recipient: str
    subject: str
    requested_at: datetime


class WholeMail(MailShown):
    """A mail with its text."""

    text: str


class MailboxPage(Output):
    """A part of the mailbox, the newest first."""

    mails: list[MailShown]
    pagination: Pagination


@router.get("", response_model=MailboxPage, responses=refusals(401, 403, 404))
async def mailbox(
    query: Annotated[MailboxQuery, Query()], read: Annotated[Read, reading()]
) -> Response:
    """List the mails that stayed on this machine. With a mail server none does: then 404."""
    await must_be_platform_admin(read)
    if read.services.mailbox is None:
        raise NotFound(NO_MAILBOX)
    offset = (query.page - 1) * query.limit
    total, found = await read.services.mailbox.newest(offset=offset, limit=query.limit)
    pagination = Pagination(
        page=query.page,
        limit=query.limit,
        total=total,
        total_pages=math.ceil(total / query.limit),
        next_cursor=None,
    )
    return respond(MailboxPage(mails=[_shown(mail) for mail in found], pagination=pagination))


@router.get("/{mail_id}", response_model=WholeMail, responses=refusals(401, 403, 404))
async def mail(mail_id: MailId, read: Annotated[Read, reading()]) -> Response:
    """Show what one mail says, as text."""
    await must_be_platform_admin(read)
    if read.services.mailbox is None:
        raise NotFound(NO_MAILBOX)
    found = await read.services.mailbox.read(mail_id) if is_id(mail_id, "mai") else None
    if found is None:
        raise NotFound
    kept, text = found
    log.info("mail read by an admin", mail_id=mail_id, user_id=read.caller.actor.user_id)
    return respond(WholeMail(**dict(_shown(kept)), text=text))


def _shown(mail: KeptMail) -> MailShown:
    return MailShown(
        id=mail.mail_id,
        recipient=mail.recipient,
        subject=mail.subject,
        requested_at=mail.requested_at,
    )
