"""The certificate of a domain: how it stands, one of one's own, and back to an ordered one."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli import names
from cli.connection import connect
from cli.options import Deployment, Domain, Json, Yes
from cli.terminal import confirm, facts, put_json, say

Pem = Annotated[
    Path, typer.Argument(metavar="CERTIFICATE", help="PEM: the host's first, then its issuers'.")
]
PemKey = Annotated[Path, typer.Argument(metavar="KEY", help="PEM, not encrypted.")]


def show(deployment: Deployment, domain: Domain, *, json: Json = False) -> None:
    """Show whose it is, how long it lasts, and why there is none if there is none."""
    with connect() as api:
        found = api.get(names.certificate_path(api, deployment, domain))
    _told(found, json=json)


def bring(
    deployment: Deployment, domain: Domain, certificate: Pem, key: PemKey, *, json: Json = False
) -> None:
    """Bring a certificate of your own; every gateway serves it within seconds."""
    body = {"certificate": certificate.read_text(), "privateKey": key.read_text()}
    with connect() as api:
        found = api.put(names.certificate_path(api, deployment, domain), body)
    _told(found, json=json)


def remove(deployment: Deployment, domain: Domain, *, yes: Yes = False, json: Json = False) -> None:
    """Take your own certificate back; one is ordered in its place."""
    with connect() as api:
        path = names.certificate_path(api, deployment, domain)
        confirm(f"Take the certificate of {domain} back?", yes=yes)
        answer = api.delete(path)
    if json:
        put_json(answer)
    else:
        say(f"{answer['message']}.")


def _told(found: dict[str, Any], *, json: bool) -> None:
    if json:
        put_json(found)
        return
    facts(
        ("Status", found["status"]),
        ("Origin", found["origin"]),
        ("Issuer", found["issuer"]),
        ("SHA-256", found["fingerprint"]),
        ("From", found["notBefore"]),
        ("Until", found["notAfter"]),
        ("Failure", found["failure"]),
        ("Ordered again", found["retryAt"]),
    )
