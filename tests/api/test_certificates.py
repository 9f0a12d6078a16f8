"""Certificates over HTTP: how a domain stands, and a team's own."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from commands.bus import Context
from commands.certificates import NoteFailedOrder
from commands.work import Actor
from tests.api.conftest import Api, Body, Visitor
from tests.api.test_domains import check, path_of
from tests.api.test_routes import is_problem
from tests.certificates import Authority, key_pem, new_key

KEEPER = Context(actor=Actor(id="certificate keeper"))
NAME = "www.example.com"


@pytest.fixture
async def anna(api: Api) -> Visitor:
    return await api.join()


async def active_domain(api: Api, owner: Visitor, app_name: str = "shop") -> Body:
    domain = await owner.add_domain(await owner.deploy(app_name), NAME)
    proof = domain["dnsRecords"][1]["value"]
    await check(api, domain, alias=f"{app_name}.apps.localhost", text=proof)
    return domain


async def upload(owner: Visitor, domain: Body, chain: str, key: str) -> httpx.Response:
    body = {"certificate": chain, "privateKey": key}
    return await owner.ask("PUT", f"{path_of(domain)}/certificate", body)


async def test_a_team_brings_its_own_certificate_and_takes_it_back(api: Api, anna: Visitor) -> None:
    domain = await active_domain(api, anna)
    authority = Authority("Our Root")
    upper = Authority("Our Intermediate", of=authority)
    chain, key = upper.issue(NAME)
    answer = await upload(anna, domain, chain + upper.pem, key)
    assert answer.status_code == 200, answer.text
    assert "PRIVATE" not in answer.text
    [stored] = (await api.installation.certificates.read()).certificates
    assert (stored.name, stored.owner_id, stored.origin) == (NAME, domain["id"], "uploaded")
    assert stored.chain.count("BEGIN CERTIFICATE") == 2

    shown = (await anna.get(f"{path_of(domain)}/certificate")).json()
    assert shown == answer.json()
    assert (shown["status"], shown["origin"]) == ("active", "uploaded")
    assert shown["issuer"] == "Our Intermediate"
    assert shown["fingerprint"] == stored.certificate.fingerprint
    assert (await anna.get(path_of(domain))).json()["certificate"] == shown
    listed = await anna.get(f"/v1/deployments/{domain['deploymentId']}/domains")
    assert listed.json()["domains"][0]["certificate"] == shown
    history = await anna.get(f"/v1/history/crt-{domain['id'][4:]}")
    assert [event["type"] for event in history.json()["events"]] == [
        "certificates.CertificateUploaded"
    ]
    told = str(await api.installation.as_admin("SELECT convert_from(state, 'UTF8') FROM events"))
    for text in (history.text, told):
        assert "PRIVATE" not in text
        assert key.splitlines()[1] not in text

    gone = await anna.ask("DELETE", f"{path_of(domain)}/certificate")
    assert gone.status_code == 200
    assert gone.json() == {"message": "Certificate removed successfully"}
    assert not (await api.installation.certificates.read()).certificates
    assert (await anna.get(f"{path_of(domain)}/certificate")).json()["status"] == "none"
    again = await anna.ask("DELETE", f"{path_of(domain)}/certificate")
    assert is_problem(again, 422)
    assert again.json()["error"]["code"] == "no_own_certificate"


async def test_what_is_wrong_with_a_certificate_is_said_and_nothing_is_changed(
    api: Api, anna: Visitor
) -> None:
    domain = await active_domain(api, anna)
    authority, other = Authority(), Authority("Other")
    chain, key = authority.issue(NAME)
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    odd, ed = ec.generate_private_key(ec.SECP521R1()), ed25519.Ed25519PrivateKey.generate()
    cases = [
        (chain, key_pem(new_key()), "privateKey", "does not belong"),
        (*authority.issue(NAME, days=-0.5), "certificate", "expired"),
        (*authority.issue(NAME, began_days_ago=-1), "certificate", "not valid before"),
        (*authority.issue("example.com", "a.b.example.com"), "certificate", "is for example.com"),
        (*authority.issue("192.0.2.1"), "certificate", "no host at all"),
        (chain + other.pem, key, "certificate", "certificate 2 of the chain did not issue"),
        (authority.pem + chain, key, "privateKey", "does not belong"),
        (chain * 7, key, "certificate", "1 to 6"),
        (*authority.issue(NAME, key=weak), "privateKey", "2048 to 4096"),
        (*authority.issue(NAME, key=odd), "privateKey", "p-256 or p-384"),
        (*authority.issue(NAME, key=ed), "privateKey", "rsa and ecdsa"),
        ("no certificate", key, "certificate", "not a chain"),
        (chain, "no key", "privateKey", "not a private key"),
        (chain, chain, "privateKey", "not a private key"),
        (chain + "x" * 13_250, key, "certificate", "characters"),
    ]
    before = await api.installation.store.last_position()
    for one, its_key, field, words in cases:
        answer = await upload(anna, domain, one, its_key)
        assert is_problem(answer, 422), answer.text
        [detail] = answer.json()["error"]["details"]
        assert detail["field"] == field, (words, detail)
        assert words in detail["message"].lower()
        assert "PRIVATE" not in answer.text
    assert await api.installation.store.last_position() == before
    assert not (await api.installation.certificates.read()).certificates
    for good in (("*.example.com",), (NAME, "other.example.com")):
        assert (await upload(anna, domain, *authority.issue(*good))).status_code == 200


async def test_a_domain_takes_a_certificate_once_it_is_active_and_from_its_own_team_only(
    api: Api, anna: Visitor
) -> None:
    pending = await anna.add_domain(await anna.deploy("cart"), "cart.example.com")
    early = await upload(anna, pending, *Authority().issue("cart.example.com"))
    assert is_problem(early, 422)
    assert early.json()["error"]["code"] == "domain_not_active"

    domain = await active_domain(api, anna)
    elsewhere = {**domain, "deploymentId": pending["deploymentId"]}
    berta = await api.join("berta")
    for visitor, where in ((berta, domain), (anna, elsewhere)):
        for answer in (
            await upload(visitor, where, *Authority().issue(NAME)),
            await visitor.get(f"{path_of(where)}/certificate"),
            await visitor.ask("DELETE", f"{path_of(where)}/certificate"),
        ):
            assert is_problem(answer, 404)
    assert not (await api.installation.certificates.read()).certificates


async def test_the_owner_reads_why_there_is_no_certificate(api: Api, anna: Visitor) -> None:
    tls = api.another(tls=True)
    anna = anna.at(tls)
    domain = await active_domain(api, anna)
    shown = (await anna.get(f"{path_of(domain)}/certificate")).json()
    assert (shown["status"], shown["failure"]) == ("pending", None)
    retry_at = datetime.now(UTC) + timedelta(hours=1)
    failed = NoteFailedOrder(
        domain_id=domain["id"], reason="Nobody answered.", failures=1, retry_at=retry_at
    )
    receipt = await api.installation.dispatch(failed, KEEPER)
    await api.reader.wait_for("certificates", receipt.position, timeout_seconds=20)
    shown = (await anna.get(path_of(domain))).json()["certificate"]
    assert (shown["status"], shown["failure"]) == ("failed", "Nobody answered.")
    assert datetime.fromisoformat(shown["retryAt"]) == retry_at
