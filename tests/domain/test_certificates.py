"""Certificates: what is noted of them, once, and who may take what back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from domain.certificates.certificate import (
    CERTIFICATE,
    DomainCertificate,
    NoOwnCertificate,
    fail,
    let_go,
    store,
    withdraw,
)
from domain.certificates.events import (
    CertificateIssued,
    CertificateOrderFailed,
    CertificateRemoved,
    CertificateUploaded,
)
from domain.certificates.values import Facts, RemovalReason, certificate_id, renewal_due_at
from domain.kernel.events import Event
from tests.scenario import given

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
WHOSE: dict[str, Any] = {
    "domain_id": "dom-0000000001",
    "team_id": "org-0000000001",
    "name": "www.example.com",
}
FACTS = Facts(issuer="R11", fingerprint="ab" * 32, not_before=NOON, not_after=NOON + 90 * DAY)
NEXT = msgspec.structs.replace(FACTS, fingerprint="cd" * 32, not_before=NOON + 60 * DAY)
issued = CertificateIssued(**WHOSE, **msgspec.structs.asdict(FACTS))
uploaded = CertificateUploaded(**WHOSE, **msgspec.structs.asdict(NEXT), uploaded_by="usr-1")
failed = CertificateOrderFailed(**WHOSE, reason="nobody there", failures=1, retry_at=NOON)
withdrawn = CertificateRemoved(
    **WHOSE, fingerprint="cd" * 32, reason=RemovalReason.WITHDRAWN, removed_by="usr-1"
)


def stored(state: DomainCertificate | None, facts: Facts, by: str | None = None) -> list[Event]:
    return store(state, facts, **WHOSE, uploaded_by=by)


def failing(state: DomainCertificate | None, failures: int) -> list[Event]:
    return fail(state, **WHOSE, reason="nobody there", failures=failures, retry_at=NOON)


def test_a_certificate_in_the_store_is_noted_once_however_often_it_is_told() -> None:
    given(CERTIFICATE).when(lambda state: stored(state, FACTS)).then(issued)
    given(CERTIFICATE, issued).when(lambda state: stored(state, FACTS)).then()
    given(CERTIFICATE, issued).when(lambda state: stored(state, NEXT, "usr-1")).then(uploaded)
    given(CERTIFICATE, uploaded).when(lambda state: stored(state, NEXT)).then()


def test_a_failure_is_noted_once_and_counted_anew_after_a_certificate() -> None:
    given(CERTIFICATE).when(lambda state: failing(state, 1)).then(failed)
    given(CERTIFICATE, failed).when(lambda state: failing(state, 1)).then()
    second = msgspec.structs.replace(failed, failures=2)
    given(CERTIFICATE, failed).when(lambda state: failing(state, 2)).then(second)
    given(CERTIFICATE, failed, issued).when(lambda state: failing(state, 1)).then(failed)


def test_a_team_takes_back_only_what_it_brought() -> None:
    def take_back(state: DomainCertificate | None) -> list[Event]:
        return withdraw(state, by="usr-1")

    given(CERTIFICATE, issued, uploaded).when(take_back).then(withdrawn)
    for past in ((), (issued,), (failed,), (uploaded, withdrawn)):
        given(CERTIFICATE, *past).when(take_back).then_refused(NoOwnCertificate)


def test_a_certificate_goes_with_its_domain_and_only_once() -> None:
    def go(state: DomainCertificate | None) -> list[Event]:
        return let_go(state, by="keeper")

    gone = CertificateRemoved(
        **WHOSE, fingerprint="ab" * 32, reason=RemovalReason.DOMAIN_REMOVED, removed_by="keeper"
    )
    given(CERTIFICATE, issued, failed).when(go).then(gone)
    given(CERTIFICATE, issued, gone).when(go).then()
    given(CERTIFICATE, failed).when(go).then()


def test_a_certificate_is_replaced_when_two_thirds_of_its_time_are_over() -> None:
    due = renewal_due_at(not_before=FACTS.not_before, not_after=FACTS.not_after)
    assert due == NOON + 60 * DAY
    assert certificate_id("dom-0000000001") == "crt-0000000001"
