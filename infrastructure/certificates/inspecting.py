"""Looks at certificates that people bring: what they are for, and whether browsers will take them.

Everything that is wrong is said in words for whoever brought it. Private keys are never repeated.
"""

import hashlib
import itertools
from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from infrastructure.certificates import Certificate, Unusable

PEM_CHARACTERS_MAX = 14_000
"""Chain and key together: HAProxy takes no more at run time."""
CHAIN_LENGTH_MAX = 6
_RSA_BITS = range(2048, 4097)
_CURVES = ("secp256r1", "secp384r1")


def inspected(
    chain_pem: str, key_pem: str, *, host: str, now: datetime
) -> tuple[str, str, Certificate]:
    """Return chain and key as they are to be stored, and the facts; raises `Unusable`."""
    if len(chain_pem) + len(key_pem) > PEM_CHARACTERS_MAX:
        raise Unusable(
            "certificate", f"Chain and key together may have {PEM_CHARACTERS_MAX} characters."
        )
    chain = _chain(chain_pem)
    key = _key(key_pem)
    first = chain[0]
    if _public_bytes(first.public_key()) != _public_bytes(key.public_key()):
        raise Unusable("privateKey", "The private key does not belong to the first certificate.")
    _check_strength(key)
    _check_order(chain)
    _check_time(chain, now)
    _check_use(first)
    facts = certificate_facts(first)
    if not covers(facts.hosts, host):
        shown = ", ".join(facts.hosts[:5]) or "no host at all"
        raise Unusable("certificate", f"The certificate is not for {host}; it is for {shown}.")
    text = "".join(one.public_bytes(Encoding.PEM).decode() for one in chain)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return text, private, facts


def certificate_facts(certificate: x509.Certificate) -> Certificate:
    """Return what a certificate says about itself."""
    return Certificate(
        hosts=_hosts(certificate),
        issuer=_issuer(certificate),
        fingerprint=hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def facts_of_pem(chain_pem: str) -> Certificate:
    """Return what the first certificate of a chain says about itself; raises `Unusable`."""
    return certificate_facts(_chain(chain_pem)[0])


def covers(hosts: Sequence[str], host: str) -> bool:
    """Tell whether a certificate for these hosts is one for that host (RFC 6125)."""
    _, _, parent = host.partition(".")
    return host in hosts or f"*.{parent}" in hosts


def _chain(pem: str) -> list[x509.Certificate]:
    try:
        chain = x509.load_pem_x509_certificates(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise Unusable("certificate", "This is not a chain of certificates in PEM.") from None
    if not 0 < len(chain) <= CHAIN_LENGTH_MAX:
        raise Unusable("certificate", f"A chain has 1 to {CHAIN_LENGTH_MAX} certificates.")
    return chain


def _key(pem: str) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        raise Unusable("privateKey", "The private key is encrypted; send it in clear.") from None
    except (ValueError, UnsupportedAlgorithm):
        raise Unusable("privateKey", "This is not a private key in PEM.") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise Unusable("privateKey", "Browsers take RSA and ECDSA keys only.")
    return key


def _check_strength(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size not in _RSA_BITS:
            raise Unusable("privateKey", "An RSA key has to have 2048 to 4096 bits.")
    elif key.curve.name not in _CURVES:
        raise Unusable("privateKey", "An ECDSA key has to be on the curve P-256 or P-384.")


def _check_order(chain: Sequence[x509.Certificate]) -> None:
    for number, (lower, upper) in enumerate(itertools.pairwise(chain), start=1):
        try:
            lower.verify_directly_issued_by(upper)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            raise Unusable(
                "certificate",
                f"Certificate {number + 1} of the chain did not issue certificate {number}: begin"
                " with the one for the host, then each with its issuer after it.",
            ) from None


def _check_time(chain: Sequence[x509.Certificate], now: datetime) -> None:
    for certificate in chain:
        if certificate.not_valid_after_utc <= now:
            raise Unusable(
                "certificate", f"A certificate expired at {certificate.not_valid_after_utc}."
            )
    if chain[0].not_valid_before_utc > now:
        raise Unusable("certificate", f"It is not valid before {chain[0].not_valid_before_utc}.")


def _check_use(certificate: x509.Certificate) -> None:
    algorithm = certificate.signature_hash_algorithm
    if algorithm is not None and algorithm.name in {"md5", "sha1"}:
        raise Unusable("certificate", f"It is signed with {algorithm.name}, which is broken.")
    try:
        usages = certificate.extensions.get_extension_for_oid(ExtensionOID.EXTENDED_KEY_USAGE)
    except x509.ExtensionNotFound:
        return
    except ValueError:
        raise Unusable("certificate", "Its extensions cannot be read.") from None
    if ExtendedKeyUsageOID.SERVER_AUTH not in usages.value:  # type: ignore[operator] # an ExtendedKeyUsage
        raise Unusable("certificate", "It is not meant for servers (no serverAuth).")


def _hosts(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(name.lower() for name in found.value.get_values_for_type(x509.DNSName))


def _issuer(certificate: x509.Certificate) -> str:
    for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        for attribute in certificate.issuer.get_attributes_for_oid(kind):
            return str(attribute.value)[:200]
    return certificate.issuer.rfc4514_string()[:200]


def _public_bytes(key: object) -> bytes:
    public: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined] # every public key
    return public
