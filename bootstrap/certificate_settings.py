"""The settings about TLS: whether the gateway speaks it, and where certificates come from."""

from dataclasses import dataclass
from pathlib import Path

from bootstrap import setting_kinds as kinds
from bootstrap.setting_kinds import Kind, setting

_LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"


def _directory(text: str) -> str:
    return "" if text == "off" else kinds.url("https").parse(text)


@dataclass(frozen=True, kw_only=True)
class Tls:
    """TLS at the gateway and at the API, and certificates."""

    port: int = setting(
        "TALLYPORT_GATEWAY_TLS_PORT",
        kinds.number(0, 65535),
        "0",
        "Port on which the gateway speaks TLS; 0: on none, which is right for names like "
        "apps.localhost that no certificate authority vouches for.",
    )
    certificate: Path | None = setting(
        "TALLYPORT_GATEWAY_CERTIFICATE",
        kinds.FOLDER,
        "",
        "A PEM file with a certificate chain and its private key, for the apps domain (`*.` and it)"
        " or any host of yours. Read again when it changes; the gateway's process reads it.",
        otherwise=None,
        shown_default="none",
    )
    api_port: int = setting(
        "TALLYPORT_API_TLS_PORT",
        kinds.number(0, 65535),
        "0",
        "Port on which the API speaks TLS, beside the plain one, which then only this machine"
        " should reach; 0: on none.",
    )
    api_certificate: Path | None = setting(
        "TALLYPORT_API_CERTIFICATE",
        kinds.FOLDER,
        "",
        "A PEM file with the certificate chain and the private key for the API's host. Read again"
        " when it changes.",
        otherwise=None,
        shown_default="none",
    )
    hsts_seconds: int = setting(
        "TALLYPORT_HSTS_SECONDS",
        kinds.number(0, 63_072_000),
        "31536000",
        "How long browsers shall use a host with a certificate over HTTPS only; 0 does not say.",
    )
    acme_directory: str = setting(
        "TALLYPORT_ACME_DIRECTORY",
        Kind("URL (https) or off", _directory),
        _LETS_ENCRYPT,
        "The certificate authority (ACME) that custom domains get their certificates from, once the"
        " gateway speaks TLS. Using it accepts its terms. `off`: only certificates people bring.",
    )
    acme_email: str = setting(
        "TALLYPORT_ACME_EMAIL",
        kinds.SENDER,
        "",
        "Whom the certificate authority writes to; many need nobody.",
        otherwise="",
        shown_default="nobody",
    )
    acme_ca_file: Path | None = setting(
        "TALLYPORT_ACME_CA_FILE",
        kinds.FOLDER,
        "",
        "Whom to trust when speaking with a certificate authority of your own: a PEM file.",
        otherwise=None,
        shown_default="the usual roots",
    )
