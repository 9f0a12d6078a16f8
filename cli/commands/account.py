"""Signing in and out, and who and where one is."""

import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import names
from cli.connection import base_url, connect, open_client
from cli.environment import API_KEY, surroundings
from cli.failures import ExitCode, Failed, Refused, not_signed_in
from cli.logins import Login, Logins
from cli.options import Json
from cli.terminal import ask, facts, put, put_json, say, working

if TYPE_CHECKING:
    from cli.client import Client

Url = Annotated[
    str | None, typer.Option("--url", help="Where Tallyport is; TALLYPORT_URL unless given.")
]
SECRET_SHOWN = 12
SLOWER_SECONDS = 5
NOTHING_TOLD: dict[str, Any] = {"announcements": [], "maintenance": []}


def login(
    *,
    url: Url = None,
    email: Annotated[str | None, typer.Option(help="The address of your account.")] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    device: Annotated[
        bool, typer.Option("--device", help="Approve it in a browser, here or elsewhere.")
    ] = False,
    key: Annotated[
        bool, typer.Option("--key", help="Keep an API key instead; asked for, or from stdin.")
    ] = False,
    json: Json = False,
) -> None:
    """Sign in and stay signed in on this machine."""
    around = surroundings()
    if url or around.url:
        where = base_url(str(url or around.url))
    else:
        with connect() as api:
            where = api.url
    with open_client(where, None) as api:
        if key:
            made = _by_key(api)
        elif device:
            made = _by_device(api, json=json)
        else:
            made = _by_password(api, email, from_stdin=password_stdin)
    Logins(around.folder).save(made)
    if json:
        put_json({"url": where, "who": made.who})
    say(f"Signed in at {where} as {made.who}.")
    if around.api_key is not None:
        say(f"{API_KEY} is set, and goes before this login.")


def logout(*, json: Json = False) -> None:
    """Sign out here: the session ends, and nothing of it stays on this machine."""
    around = surroundings()
    logins = Logins(around.folder)
    login = logins.find(base_url(around.url) if around.url else None)
    if login is None:
        raise not_signed_in()
    if login.refresh_token is not None:
        with open_client(login.url, login) as api:
            try:
                api.post("/auth/logout")
            except Refused as refusal:
                if refusal.code is not ExitCode.NOT_SIGNED_IN:  # else it had ended already
                    raise
    logins.forget(login.url)
    if json:
        put_json({"url": login.url, "who": login.who})
    say(f"Signed out at {login.url}.")


def whoami(*, json: Json = False) -> None:
    """Say who is signed in, and where."""
    with connect() as api:
        login = api.login
        if login is None:
            raise not_signed_in()
        if _is_key(login.access_token):
            api.get("/images")  # refuses a key that is not valid
            about: dict[str, Any] = {
                "url": api.url,
                "key": f"{login.access_token[:SECRET_SHOWN]}...",
            }
        else:
            about = {"url": api.url, **api.get("/user/profile")}
    if json:
        put_json(about)
        return
    facts(
        ("Username", about.get("username")),
        ("E-mail", about.get("email")),
        ("Id", about.get("id")),
        ("Key", about.get("key")),
        ("Deployments", about.get("deploymentCount")),
        ("Keys", about.get("apiKeyCount")),
        ("At", about["url"]),
    )


def status(*, json: Json = False) -> None:
    """Say whether Tallyport is well, who is signed in, and what everybody is told."""
    with connect() as api:
        health = api.health()
        who = api.login.who if api.login is not None else None
        told = _told_to_all(api) if health["status"] == "ready" else NOTHING_TOLD
    if json:
        put_json({**health, **told})
    else:
        facts(
            ("At", api.url),
            ("Signed in as", who or "nobody"),
            ("Tallyport is", health["status"]),
            *((f"  {part}", state) for part, state in sorted(health["parts"].items())),
        )
        for each in told["announcements"]:
            say(each["text"])
        for each in told["maintenance"]:
            whose = each["appName"] or "Every app"
            say(f"{whose} is looked after until {each['endsAt']}, from {each['startsAt']} on.")
    if health["status"] != "ready":
        raise Failed("A part is down.", code=ExitCode.UNAVAILABLE)


def open_page(
    deployment: Annotated[
        str | None, typer.Argument(help="A deployment, by name or id; the dashboard unless given.")
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Open the dashboard, or a deployment, in the browser; print its address."""
    with connect() as api:
        url = str(names.deployment(api, deployment)["url"]) if deployment else f"{api.url}/"
    if json:
        put_json({"url": url})
        return
    put(url)
    if sys.stdout.isatty():
        import webbrowser  # noqa: PLC0415 - only what this command needs

        webbrowser.open(url)


def _told_to_all(api: "Client") -> dict[str, Any]:
    """Return what everybody who is signed in is told; nothing to whom that has ended for."""
    try:
        return dict(api.get("/announcements"))
    except Failed as failed:
        if failed.code is not ExitCode.NOT_SIGNED_IN:
            raise
        return NOTHING_TOLD


def _by_password(api: "Client", email: str | None, *, from_stdin: bool) -> Login:
    if from_stdin and not email:
        raise Failed("Say with --email whose password it is.", code=ExitCode.USAGE)
    body = {"email": email or ask("E-mail")}
    body["password"] = (
        sys.stdin.readline().rstrip("\n") if from_stdin else (ask("Password", hidden=True))
    )
    try:
        said = api.open_to_all("POST", "/auth/login", body)
    except Refused as refusal:
        if refusal.error_code != "otp_required":
            raise
        said = api.open_to_all("POST", "/auth/login", {**body, "otp": ask("Code of your app")})
    return Login(
        url=api.url,
        who=str(said["user"]["username"]),
        access_token=said["accessToken"],
        refresh_token=said["refreshToken"],
        expires_at=datetime.fromisoformat(said["expiresAt"]),
    )


def _by_device(api: "Client", *, json: bool) -> Login:
    """Show a code, and wait until somebody has typed it where they are signed in."""
    codes = api.open_to_all("POST", "/auth/device")
    say(f"Open {codes['verification_uri']} and type the code")
    (say if json else put)(codes["user_code"])
    if sys.stdout.isatty():
        import webbrowser  # noqa: PLC0415 - only what this command needs

        webbrowser.open(codes["verification_uri_complete"])
    said = _exchanged(api, codes)
    made = Login(
        url=api.url,
        who="",
        access_token=said["access_token"],
        refresh_token=said["refresh_token"],
        expires_at=datetime.now(UTC) + timedelta(seconds=said["expires_in"]),
    )
    with open_client(api.url, made) as asking:
        return replace(made, who=str(asking.get("/user/profile")["username"]))


def _exchanged(api: "Client", codes: dict[str, Any]) -> dict[str, Any]:
    """Return the tokens, asking as often as RFC 8628 allows."""
    interval, body = codes["interval"], {"device_code": codes["device_code"]}
    with working("Waiting for somebody to approve ..."):
        while True:
            time.sleep(interval)
            try:
                return dict(api.open_to_all("POST", "/auth/device/token", body))
            except Refused as refusal:
                if refusal.error_code == "slow_down":
                    interval += SLOWER_SECONDS
                elif refusal.error_code != "authorization_pending":
                    raise


def _by_key(api: "Client") -> Login:
    secret = (
        ask("API key", hidden=True) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    )
    if not _is_key(secret):
        raise Failed("A key begins with tp_live_.", code=ExitCode.USAGE)
    made = Login(url=api.url, who=f"key {secret[:SECRET_SHOWN]}...", access_token=secret)
    with open_client(api.url, made) as asking:
        asking.get("/images")  # refuses a key that is not valid
    return made


def _is_key(credential: str) -> bool:
    return credential.startswith("tp_")
