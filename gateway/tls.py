"""TLS in HAProxy's configuration: what stands there once the operator gave it a port.

Nothing here depends on a certificate. Which there are, for which hosts, and what a certificate
authority asks for is a list and two maps, which `certificates.py` changes at run time.

TLS 1.2 and 1.3 with the ciphers and curves of Mozilla's intermediate guideline. `strict-sni`: who
names a host that has no certificate, or names none, gets no handshake, never another's certificate.
"""

from typing import Protocol

CERTIFICATES, CERTIFICATE_FOLDER = "certificates.list", "certificates"
SECURE_HOSTS, CHALLENGES = "secure_hosts.map", "challenges.map"
EMPTY_FILES = dict.fromkeys((CERTIFICATES, SECURE_HOSTS, CHALLENGES), "")
CHALLENGE_PATH = "/.well-known/acme-challenge/"

CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384"
    ":ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
_SUITES = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

GLOBAL = f"""\
    ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets
    ssl-default-bind-ciphers {CIPHERS}
    ssl-default-bind-ciphersuites {_SUITES}
    ssl-default-bind-curves X25519:prime256v1:secp384r1
"""
_BIND = f"ssl strict-sni crt-list current/{CERTIFICATES} alpn h2,http/1.1"

_ANSWER = f"path,field(4,/),map_str(current/{CHALLENGES})"

_HOST = f"""\
    # A host with a certificate is served over TLS only; `*.` stands for all of the apps domain.
    http-request set-var(txn.secure) var(txn.host),map_str(current/{SECURE_HOSTS})
    http-request set-var(txn.secure) str(*.@domain@),map_str(current/{SECURE_HOSTS}) if by_host
"""
_CHALLENGES = f"""\
    # A certificate authority asks for a token over plain HTTP, whatever the host is otherwise.
    use_backend challenges if {{ path_beg {CHALLENGE_PATH} }} {{ {_ANSWER} -m found }}
"""
_BACKEND = f"""
# What certificate authorities ask for (ACME, HTTP-01): a token that only we were told.
backend challenges from gateway
    http-request unset-var(txn.deployment)
    http-request unset-var(txn.team)
    http-request set-var(txn.path) path,bytes(0,1024),json(utf8s)
    http-request return status 200 content-type text/plain lf-string "%[{_ANSWER}]"
"""
_HSTS = (
    "    http-after-response set-header Strict-Transport-Security max-age={seconds}"
    " if {{ ssl_fc }} {{ var(txn.secure) -m found }}\n"
)
HTTPS_REQUIRED = "!{ ssl_fc } { var(txn.secure) -m found }"
"""The condition of the refusal that sends a caller to HTTPS."""


class TlsOptions(Protocol):
    """What of the operator's options matters here."""

    @property
    def apps_domain(self) -> str:
        """The domain of the deployed APIs."""
        ...

    @property
    def public_scheme(self) -> str:
        """How callers reach the plain port: `https` when TLS ends in front of us."""
        ...

    @property
    def hsts_seconds(self) -> int:
        """How long a browser shall remember that the host is HTTPS only; 0 says nothing."""
        ...


def bind_lines(places: tuple[str, ...]) -> str:
    """Return the lines that listen for TLS."""
    return "".join(f"\n    bind {place} {_BIND}" for place in places)


def template_values(options: TlsOptions, *, on: bool) -> dict[str, str]:
    """Return what stands at the template's places for TLS: nothing at all without it."""
    scheme = f"    http-request add-header X-Forwarded-Proto {options.public_scheme}"
    if not on:
        return {
            "tls_global": "",
            "tls_host": "",
            "tls_challenges": "",
            "tls_backend": "",
            "tls_hsts": "",
            "forwarded_proto": scheme,
        }
    return {
        "tls_global": GLOBAL,
        "tls_host": _HOST.replace("@domain@", options.apps_domain),
        "tls_challenges": _CHALLENGES,
        "tls_backend": _BACKEND,
        "tls_hsts": _HSTS.format(seconds=options.hsts_seconds) if options.hsts_seconds else "",
        "forwarded_proto": (
            "    http-request add-header X-Forwarded-Proto https if { ssl_fc }\n"
            f"{scheme} if !{{ ssl_fc }}"
        ),
    }
