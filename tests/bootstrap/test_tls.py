"""What one gateway serves over TLS: what is in the shared store, and the operator's own file."""

from pathlib import Path

from bootstrap.haproxy import launch_options
from bootstrap.settings import load
from bootstrap.tls import SharedTable
from infrastructure.certificates import StoredCertificate
from infrastructure.certificates.inspecting import facts_of_pem
from tests.certificates import Authority
from tests.wiring import Installation

SHOP = "shop.example.com"


async def test_a_gateway_has_the_stores_certificates_and_says_how_far_it_is(
    installation: Installation,
) -> None:
    store = installation.certificates
    table = SharedTable(store, "gateway-1")
    assert (await table.read()).certificates == ()
    assert not await table.wait_for_change(0)

    chain, key = Authority().issue(SHOP, "other.example.com")
    await store.put(
        StoredCertificate(
            name=SHOP,
            owner_id="dom-1",
            origin="uploaded",
            chain=chain,
            private_key=key,
            certificate=facts_of_pem(chain),
        )
    )
    assert await table.wait_for_change(0)
    state = await table.read()
    assert [(one.hosts, one.pem) for one in state.certificates] == [((SHOP,), chain + key)]
    assert not await table.wait_for_change(0)

    assert not await store.is_everywhere(state.version)
    await table.applied(state.version)
    assert await store.is_everywhere(state.version)


async def test_the_operators_certificate_is_served_and_read_again_when_it_changes(
    installation: Installation, tmp_path: Path
) -> None:
    own = tmp_path / "own.pem"
    table = SharedTable(installation.certificates, "gateway-1", own=own)
    assert (await table.read()).certificates == ()
    authority = Authority()
    for hosts in (("*.apps.example.com", "apps.example.com"), ("api.example.com",)):
        own.write_text("".join(authority.issue(*hosts)))
        assert await table.wait_for_change(0)
        [served] = (await table.read()).certificates
        assert served.hosts == hosts
        assert served.pem == own.read_text()
    own.write_text("half a certifi")
    assert await table.wait_for_change(0)
    assert (await table.read()).certificates == ()


def test_tls_is_spoken_where_the_operator_says_and_callers_are_sent_to_the_port_they_see(
    tmp_path: Path,
) -> None:
    home = {"TALLYPORT_HOME": str(tmp_path)}
    assert launch_options(load(home)).gateway.tls_binds == ()
    tls = home | {"TALLYPORT_GATEWAY_TLS_PORT": "8443"}
    options = launch_options(load(tls)).gateway
    assert (options.tls_binds, options.https_port) == (("127.0.0.1:8443",), 8443)
    published = tls | {"TALLYPORT_GATEWAY_URL": "https://apps.example.com"}
    assert launch_options(load(published)).gateway.https_port == 443
