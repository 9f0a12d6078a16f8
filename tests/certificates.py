"""Certificates made on the spot: an authority of our own, and what it signs."""

import datetime as dt
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: PrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


class Authority:
    """A root, or an intermediate of another one."""

    def __init__(self, name: str = "Test Root", *, of: "Authority | None" = None) -> None:
        self.key = new_key()
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        parent = of or self
        self.certificate = (
            _begun(self.name, parent.name, self.key, days=3650)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(parent.key, hashes.SHA256())
        )

    def issue(
        self,
        *hosts: str,
        key: PrivateKey | None = None,
        days: float = 90,
        began_days_ago: float = 1,
    ) -> tuple[str, str]:
        """Return the certificate and the key as PEM."""
        private = key or new_key()
        names = [
            x509.IPAddress(ip_address(host)) if host[0].isdigit() else x509.DNSName(host)
            for host in hosts
        ]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])])
        certificate = (
            _begun(subject, self.name, private, days=days, began_days_ago=began_days_ago)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return pem(certificate), key_pem(private)

    @property
    def pem(self) -> str:
        return pem(self.certificate)


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    key: PrivateKey,
    *,
    days: float,
    began_days_ago: float = 1,
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=began_days_ago))
        .not_valid_after(now + dt.timedelta(days=days))
    )
