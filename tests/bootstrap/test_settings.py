"""The settings: defaults, every way a value can be wrong, and the two generated files."""

import base64
import re
from decimal import Decimal
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bootstrap import settings_reference
from bootstrap.setting_kinds import SECRET_KEY_BYTES_MIN
from bootstrap.settings import SettingsError, declarations, given, load, unknown_names

ROOT = Path(__file__).resolve().parents[2]


def pem(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_an_empty_environment_gives_a_working_embedded_set_up() -> None:
    settings = load({})

    assert settings.home == Path("~/.tallyport").expanduser()
    assert settings.api.public_url == "http://localhost:8000"
    assert settings.gateway.url_of("weather") == "http://weather.apps.localhost:8080"
    assert settings.parts.database_url == ""
    assert settings.parts.kafka == "none"
    assert settings.mail.url == ""
    assert settings.mail.sender == "Tallyport <no-reply@localhost>"
    assert settings.prices.per_million_requests == Decimal("0.50")


def test_values_come_from_the_environment() -> None:
    key = base64.b64encode(bytes(SECRET_KEY_BYTES_MIN)).decode()

    settings = load(
        {
            "TALLYPORT_HOME": "~/a folder",
            "TALLYPORT_API_PORT": "9000",
            "TALLYPORT_CORS_ORIGINS": "https://a.example, http://localhost:5173",
            "TALLYPORT_GATEWAY_URL": "https://apps.example.com",
            "TALLYPORT_KAFKA": "one:9092,two:9092",
            "TALLYPORT_SECRET_KEY": key,
            "TALLYPORT_DNS_RESOLVERS": "192.0.2.1, 192.0.2.2:5353,2001:db8::1,[2001:DB8::2]:54",
            "TALLYPORT_GATEWAY_ADDRESSES": "192.0.2.9, 2001:DB8:0::9",
            "DOCKER_HOST": "tcp://127.0.0.1:2375",
        }
    )

    assert settings.home == Path("~/a folder").expanduser()
    assert settings.api.public_url == "http://localhost:9000"
    assert settings.api.cors_origins == ("https://a.example", "http://localhost:5173")
    assert settings.gateway.url_of("weather") == "https://weather.apps.example.com"
    assert settings.parts.kafka == "one:9092,two:9092"
    assert settings.secrets.secret_key == bytes(SECRET_KEY_BYTES_MIN)
    assert settings.domains.gateway_addresses == ("192.0.2.9", "2001:db8::9")
    assert settings.domains.dns_resolvers == (
        ("192.0.2.1", 53),
        ("192.0.2.2", 5353),
        ("2001:db8::1", 53),
        ("2001:db8::2", 54),
    )
    assert settings.containers.docker_host == "tcp://127.0.0.1:2375"


@pytest.mark.parametrize(
    ("public_url", "sender"),
    [
        ("https://tallyport.example/", "Tallyport <no-reply@tallyport.example>"),
        ("https://192.0.2.1:8000", "Tallyport <no-reply@localhost>"),
        ("https://[2001:db8::1]", "Tallyport <no-reply@localhost>"),
    ],
)
def test_mails_come_from_where_the_api_is_unless_it_has_no_name(
    public_url: str, sender: str
) -> None:
    assert load({"TALLYPORT_PUBLIC_URL": public_url}).mail.sender == sender
    chosen = "post@example.com"
    environ = {"TALLYPORT_PUBLIC_URL": public_url, "TALLYPORT_MAIL_FROM": chosen}
    assert load(environ).mail.sender == chosen


def test_a_variable_that_is_empty_counts_as_not_set() -> None:
    assert load({"TALLYPORT_API_PORT": "", "TALLYPORT_HOME": " "}) == load({})


def test_an_option_on_the_command_line_goes_before_the_environment() -> None:
    environ = {"TALLYPORT_KAFKA": "one:9092", "TALLYPORT_API_PORT": "9000"}
    settings = load(environ, overrides={"TALLYPORT_KAFKA": "embedded"})

    assert settings.parts.kafka == "embedded"
    assert settings.api.port == 9000


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("TALLYPORT_API_PORT", "80a", "must be a whole number"),
        ("TALLYPORT_API_PORT", "٨٠", "must be a whole number"),
        ("TALLYPORT_API_PORT", "0", "must be between 1 and 65535"),
        ("TALLYPORT_API_PORT", "9" * 5000, "must be a whole number"),
        ("TALLYPORT_API_HOST", "a b", "must be a host name"),
        ("TALLYPORT_GATEWAY_ID", "two words", "must be up to 64 letters"),
        ("TALLYPORT_HOME", "relative/folder", "must be an absolute path"),
        ("TALLYPORT_PUBLIC_URL", "ftp://x", "must look like http://HOST[:PORT]"),
        ("TALLYPORT_PUBLIC_URL", "http://[::1", "is not a well-formed URL"),
        ("TALLYPORT_PUBLIC_URL", "http://x:99999", "is not a well-formed URL"),
        ("TALLYPORT_CORS_ORIGINS", "https://a/path", "each must be an origin"),
        ("TALLYPORT_APPS_DOMAIN", ".apps", "must be a domain name"),
        ("TALLYPORT_DATABASE_URL", "mysql://x", "must look like postgresql://HOST[:PORT]"),
        ("TALLYPORT_DNS_RESOLVERS", "dns.example.com", "each must be ADDRESS, ADDRESS:PORT"),
        ("TALLYPORT_DNS_RESOLVERS", "192.0.2.1:0", "each port must be a number"),
        ("TALLYPORT_DNS_RESOLVERS", "192.0.2.1:", "each port must be a number"),
        ("TALLYPORT_GATEWAY_ADDRESSES", "192.0.2.1,gateway", "each must be an IPv4 or IPv6"),
        ("TALLYPORT_KAFKA", "somewhere", "must be none, embedded, or HOST:PORT"),
        ("TALLYPORT_KAFKA", "x:70000", "must be none, embedded, or HOST:PORT"),
        ("TALLYPORT_MAIL_URL", "mail.example.com", "must look like smtp://USER:PASSWORD@HOST:PORT"),
        ("TALLYPORT_MAIL_URL", "smtp://a:b@c?tls=none", "would send the password in the clear"),
        ("TALLYPORT_MAIL_FROM", "Tallyport", "must be an address"),
        ("TALLYPORT_DRIVER", "podman", "must be one of auto, docker, process"),
        ("TALLYPORT_PRICE_PER_MILLION_REQUESTS", "NaN", "must not be negative"),
        ("TALLYPORT_PRICE_PER_MILLION_REQUESTS", "1,5", "must be a decimal number"),
        ("TALLYPORT_CURRENCY", "eur", "must be three capital letters"),
        ("TALLYPORT_SECRET_KEY", "not base64!", "must be base64"),
        ("TALLYPORT_SECRET_KEY", "c2hvcnQ=", "must hold at least 32 bytes, has 5"),
        ("TALLYPORT_SIGNING_KEY", "/no/such/file", "is neither a PEM text nor a readable file"),
        ("TALLYPORT_SIGNING_KEY", "-----BEGIN X-----", "is not an unencrypted PEM private key"),
    ],
)
def test_a_bad_value_stops_the_start_with_its_name_and_why(
    name: str, text: str, reason: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        load({name: text})

    (problem,) = refused.value.problems
    assert name in problem
    assert reason in problem


def test_all_bad_values_are_named_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        load({"TALLYPORT_API_PORT": "x", "TALLYPORT_DRIVER": "x", "TALLYPORT_LOG_LEVEL": "x"})

    assert len(refused.value.problems) == 3


def test_a_signing_key_is_read_from_a_file_or_from_one_line(tmp_path: Path) -> None:
    text = pem(ed25519.Ed25519PrivateKey.generate())
    file = tmp_path / "signing.pem"
    file.write_text(text)
    one_line = text.replace("\n", "\\n")

    assert load({"TALLYPORT_SIGNING_KEY": str(file)}).secrets.signing_key == text
    assert load({"TALLYPORT_SIGNING_KEY": one_line}).secrets.signing_key.strip() == text.strip()


def test_a_signing_key_of_another_kind_is_refused() -> None:
    with pytest.raises(SettingsError, match="is not an Ed25519 key"):
        load({"TALLYPORT_SIGNING_KEY": pem(ec.generate_private_key(ec.SECP256R1()))})


@pytest.mark.parametrize("name", [d.name for _, d in declarations() if d.secret])
def test_a_secret_is_never_printed(name: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load({name: "hunter2 is wrong in every kind"})
    assert "hunter2" not in str(refused.value)

    urls = {"TALLYPORT_DATABASE_URL": "postgresql", "TALLYPORT_CLICKHOUSE_URL": "http"}
    settings = load({n: f"{scheme}://me:hunter2@there/x" for n, scheme in urls.items()})
    assert "hunter2" not in repr(settings)


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(SettingsError, match="TALLYPORT_DATABASE_URL is not"):
        load({"TALLYPORT_DATABASE_OWNER_URL": "postgresql://there/x"})
    with pytest.raises(SettingsError, match="TALLYPORT_REFRESH_IDLE_DAYS"):
        load({"TALLYPORT_REFRESH_IDLE_DAYS": "60"})


def test_a_mistyped_name_is_noticed() -> None:
    environ = {"TALLYPORT_API_PROT": "1", "TALLYPORT_REQUIRE_DOCKER": "1", "PATH": "/bin"}

    (line,) = unknown_names(environ)
    assert line == "TALLYPORT_API_PROT: no such setting; did you mean TALLYPORT_API_PORT?"


def test_a_child_process_is_handed_what_was_given_and_nothing_else() -> None:
    environ = {"TALLYPORT_API_PORT": "1", "DOCKER_HOST": "x", "PATH": "/bin", "TALLYPORT_X": "1"}

    assert given(environ) == {"TALLYPORT_API_PORT": "1", "DOCKER_HOST": "x"}


def test_no_variable_is_declared_twice_and_each_says_what_it_means() -> None:
    declared = [d for _, d in declarations()]

    assert len({d.name for d in declared}) == len(declared)
    assert all(d.meaning.endswith(".") for d in declared)


def test_the_reference_and_the_example_are_fresh() -> None:
    remake = "run: python -m bootstrap.settings_reference --write"
    assert (ROOT / "docs/settings.md").read_text() == settings_reference.markdown(), remake
    assert (ROOT / ".env.example").read_text() == settings_reference.example(), remake


def test_the_example_with_every_line_uncommented_gives_the_defaults() -> None:
    text = settings_reference.example()
    environ = dict(re.findall(r"^#?(TALLYPORT_[A-Z0-9_]+|DOCKER_HOST)=(.*)$", text, re.MULTILINE))

    assert len(environ) == len(list(declarations()))
    assert load(environ) == load({})
