"""The table of contents: every command and the function that carries it out."""

from commands import api_keys, deployments, identity, mail, metering, teams
from commands.bus import Handlers

HANDLERS: Handlers = {
    **identity.HANDLERS,
    **api_keys.HANDLERS,
    **metering.HANDLERS,
    **deployments.HANDLERS,
    **mail.HANDLERS,
    **teams.HANDLERS,
}
