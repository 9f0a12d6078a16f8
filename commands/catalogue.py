"""The table of contents: every command and the function that carries it out."""

from commands import (
    administration,
    alerts,
    api_keys,
    audit,
    certificates,
    custom_domains,
    deployments,
    identity,
    mail,
    metering,
    portals,
    teams,
    webhooks,
)
from commands.bus import Handlers

HANDLERS: Handlers = {
    **identity.HANDLERS,
    **api_keys.HANDLERS,
    **metering.HANDLERS,
    **audit.HANDLERS,
    **deployments.HANDLERS,
    **custom_domains.HANDLERS,
    **certificates.HANDLERS,
    **portals.HANDLERS,
    **mail.HANDLERS,
    **alerts.HANDLERS,
    **administration.HANDLERS,
    **teams.HANDLERS,
    **webhooks.HANDLERS,
}
