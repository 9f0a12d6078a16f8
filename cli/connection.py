"""To which API, and as whom: a key from the environment goes before a saved login."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cli.environment import URL_DEFAULT, surroundings
from cli.failures import ExitCode, Failed
from cli.logins import Login, Logins
from cli.positions import Positions

if TYPE_CHECKING:
    from cli.client import Client


def connect() -> "Client":
    """Return the API, with whoever is signed in, if anybody is."""
    around = surroundings()
    logins = Logins(around.folder)
    url = base_url(around.url) if around.url else None
    if around.api_key is not None:
        where = url or URL_DEFAULT
        return open_client(where, Login(url=where, who="key", access_token=around.api_key))
    login = logins.find(url)
    return open_client(url or (login.url if login else URL_DEFAULT), login)


def open_client(url: str, login: Login | None) -> "Client":
    """Return the API at this address."""
    from importlib.metadata import version  # noqa: PLC0415 - so that help is quick

    from cli.client import Client  # noqa: PLC0415 - the same

    folder = surroundings().folder
    return Client(
        url,
        login=login,
        logins=Logins(folder),
        positions=Positions(folder),
        user_agent=f"tallyport-cli/{version('tallyport')}",
    )


def base_url(text: str) -> str:
    """Return the address without what follows its host; raises `Failed` for what is none."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Failed(
            f"{text!r} is not an address like https://tallyport.example.com.", code=ExitCode.USAGE
        )
    path = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}"
