"""Which mails there are, what each has to be told, and what a link is."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import msgspec


class Template(StrEnum):
    """The mails there are."""

    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - a name
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a name
    EMAIL_CHANGED = "email_changed"
    """To the address before."""
    ACCOUNT_EXISTS = "account_exists"
    """Somebody tried to register with the address of an account."""
    INVITATION = "invitation"
    NEW_SIGN_IN = "new_sign_in"
    SESSION_REUSE = "session_reuse"
    """A refresh token came back after it was used: the session was ended."""
    SECOND_FACTOR_CHANGED = "second_factor_changed"
    """`change`: on, off, recovery_codes, recovery_code_used, passkey_added or passkey_removed."""
    KEY_LEAKED = "key_leaked"
    KEY_EXPIRING = "key_expiring"
    WEBHOOK_DISABLED = "webhook_disabled"
    """`reason`: failing or gone."""
    ALERT_RAISED = "alert_raised"
    ALERT_RESOLVED = "alert_resolved"
    ERASED = "erased"


class LinkPurpose(StrEnum):
    """What a link in a mail is good for."""

    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - a name
    INVITATION = "invitation"


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """What the sender makes a link of, and when it ends. Not a secret: the token is not here."""

    purpose: LinkPurpose
    subject: str
    """Id of the user, or of the team that invites."""
    nonce: str
    expires_at: datetime


PARAMETERS: Mapping[Template, frozenset[str]] = {
    Template.VERIFY_EMAIL: frozenset(),
    Template.RESET_PASSWORD: frozenset(),
    Template.PASSWORD_CHANGED: frozenset(),
    Template.EMAIL_CHANGED: frozenset(),
    Template.ACCOUNT_EXISTS: frozenset(),
    Template.INVITATION: frozenset({"team", "role", "inviter"}),
    Template.NEW_SIGN_IN: frozenset({"device", "address"}),
    Template.SESSION_REUSE: frozenset(),
    Template.SECOND_FACTOR_CHANGED: frozenset({"change"}),
    Template.KEY_LEAKED: frozenset({"name", "prefix", "outcome"}),
    Template.KEY_EXPIRING: frozenset({"name", "prefix", "expires_at"}),
    Template.WEBHOOK_DISABLED: frozenset({"name", "reason", "since"}),
    Template.ALERT_RAISED: frozenset({"rule", "title", "detail"}),
    Template.ALERT_RESOLVED: frozenset({"rule", "title", "detail"}),
    Template.ERASED: frozenset(),
}
"""What each has to be told, besides the username of a recipient who has one."""

LINKS: Mapping[Template, LinkPurpose] = {
    Template.VERIFY_EMAIL: LinkPurpose.VERIFY_EMAIL,
    Template.RESET_PASSWORD: LinkPurpose.RESET_PASSWORD,
    Template.INVITATION: LinkPurpose.INVITATION,
}
"""The mails with a link."""
