"""Who looks after the platform: the link that is printed on the server, and accounts made there.

Only who can run a command on the server comes this way; nothing that the API does makes the first
admin. A new link voids the one before.
"""

from bootstrap.core import Core, open_core
from bootstrap.embedded.home import Home
from bootstrap.operations import database_of
from bootstrap.platform import secret_key
from bootstrap.settings import Settings, load
from commands.bus import Command, Context
from commands.identity import CreateAdmin, IssueAdminLink, RegisterUser
from commands.work import Actor
from domain.kernel.errors import DomainError

OPERATOR = Context(actor=Actor(id="operator"))


async def first_admin_link(settings: Settings) -> str | None:
    """Return a link for the first admin, None once there is one."""
    async with open_core(settings, connections_max=2) as core:
        return await _link(core, IssueAdminLink(only_first=True))


async def another_admin_link(settings: Settings) -> str:
    """Return a link for one more admin, with what to do with it."""
    async with open_core(_in_force(settings), connections_max=2) as core:
        link = await _link(core, IssueAdminLink())
    return f"{link}\nIt makes the first person who follows it an admin, for 24 hours."


async def create_admin(settings: Settings, username: str, email: str, password: str) -> str:
    """Make an account that looks after the platform; raises `LookupError` with what is wrong."""
    registration = RegisterUser(
        username=username,
        email=email,
        password=password,
        password_length_min=settings.sessions.password_length_min,
    )
    async with open_core(_in_force(settings), connections_max=2) as core:
        try:
            receipt = await core.bus().dispatch(CreateAdmin(registration=registration), OPERATOR)
        except DomainError as error:
            details = "; ".join(f"{name} {what}" for name, what in error.details.items())
            raise LookupError(f"{error.message} {details}".strip()) from error
    return f"{receipt.result.username} ({receipt.result.user_id}) looks after the platform."


async def _link(core: Core, command: Command) -> str | None:
    token = (await core.bus().dispatch(command, OPERATOR)).result
    # Behind a `#`, which browsers send to nobody and no server writes into a log.
    return None if token is None else f"{core.settings.api.public_url}/setup#{token}"


def _in_force(settings: Settings) -> Settings:
    """Return the settings with what `tallyport up` keeps in the home, where they name nothing."""
    if settings.parts.database_url:
        return settings
    overrides = {"TALLYPORT_DATABASE_URL": database_of(settings)}
    if not settings.secrets.secret_key:
        overrides["TALLYPORT_SECRET_KEY"] = secret_key(Home.open(settings.home))
    return load(overrides=overrides)
