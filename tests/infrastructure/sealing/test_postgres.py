"""Sealed texts: what opens them, and what never does again."""

import base64

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infrastructure.sealing import KeyDestroyed, mask, opened, subjects_in
from infrastructure.sealing.postgres import REMEMBERED_SECONDS, PostgresVault
from tests.wiring import SECRET, Installation

ANNA, BERT = "usr-0000000001", "usr-0000000002"


@pytest.fixture
async def vault(installation: Installation) -> PostgresVault:
    await installation.vault.create(ANNA)
    await installation.vault.create(BERT)
    return installation.vault


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(alphabet=st.characters(codec="utf-8"), max_size=500))
async def test_what_was_sealed_is_opened_with_the_key_of_its_subject(
    vault: PostgresVault, text: str
) -> None:
    sealed = vault.seal(text, subject=ANNA, purpose="a test")
    assert subjects_in(f'{{"field":"{sealed}"}}'.encode()) == {ANNA}
    assert vault.open(sealed, purpose="a test") == text
    if len(text) > 3:
        assert text not in sealed


async def test_another_process_opens_it_once_it_has_loaded_the_key(
    installation: Installation, vault: PostgresVault
) -> None:
    sealed = vault.seal("secret", subject=ANNA, purpose="a test")
    other = installation.another_vault()
    with pytest.raises(KeyDestroyed):
        other.open(sealed, purpose="a test")
    other = installation.another_vault()
    await other.load([ANNA])
    assert other.open(sealed, purpose="a test") == "secret"


async def test_a_text_sealed_for_one_purpose_does_not_open_for_another(
    vault: PostgresVault,
) -> None:
    sealed = vault.seal("secret", subject=ANNA, purpose="an e-mail address")
    with pytest.raises(ValueError, match="another purpose"):
        vault.open(sealed, purpose="a password")


async def test_a_changed_text_does_not_open(vault: PostgresVault) -> None:
    head, _, body = vault.seal("secret", subject=ANNA, purpose="p").rpartition(":")
    content = bytearray(base64.urlsafe_b64decode(body))
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        with pytest.raises(ValueError, match="changed"):
            vault.open(f"{head}:{base64.urlsafe_b64encode(changed).decode()}", purpose="p")


async def test_a_text_passed_off_as_somebody_elses_does_not_open(vault: PostgresVault) -> None:
    sealed = vault.seal("secret", subject=ANNA, purpose="p")
    with pytest.raises(ValueError, match="changed"):
        vault.open(sealed.replace(ANNA, BERT), purpose="p")


@pytest.mark.parametrize(
    "text", ["", "secret", "sealed:1:", f"sealed:1:{ANNA}:", f"sealed:1:{ANNA}:A", "sealed:2:x:y"]
)
async def test_what_is_not_sealed_is_refused(vault: PostgresVault, text: str) -> None:
    with pytest.raises(ValueError, match="sealed"):
        vault.open(text, purpose="p")


async def test_with_the_row_every_copy_becomes_unreadable(
    installation: Installation, vault: PostgresVault
) -> None:
    sealed = vault.seal("secret", subject=ANNA, purpose="p")
    kept = vault.seal("other", subject=BERT, purpose="p")
    await installation.query("DELETE FROM subject_keys WHERE subject = %s RETURNING 1", ANNA)
    fresh = installation.another_vault()
    await fresh.load([ANNA, BERT])
    with pytest.raises(KeyDestroyed):
        fresh.open(sealed, purpose="p")
    with pytest.raises(KeyDestroyed):
        fresh.seal("more", subject=ANNA, purpose="p")
    assert fresh.open(kept, purpose="p") == "other"


async def test_making_a_key_twice_keeps_the_first(
    installation: Installation, vault: PostgresVault
) -> None:
    sealed = vault.seal("secret", subject=ANNA, purpose="p")
    other = installation.another_vault()
    await other.create(ANNA)
    assert other.open(sealed, purpose="p") == "secret"


async def test_the_table_alone_opens_nothing(
    installation: Installation, vault: PostgresVault
) -> None:
    del vault
    thief = PostgresVault(installation.pool, secret=b"not the installation's secret")
    with pytest.raises(ValueError, match="secret"):
        await thief.load([ANNA])


async def test_a_wrapped_key_moved_to_another_subject_is_refused(
    installation: Installation, vault: PostgresVault
) -> None:
    del vault
    await installation.as_admin(
        "UPDATE subject_keys SET wrapped = (SELECT wrapped FROM subject_keys WHERE subject = %s)"
        " WHERE subject = %s",
        ANNA,
        BERT,
    )
    fresh = installation.another_vault()
    with pytest.raises(ValueError, match="secret"):
        await fresh.load([BERT])


async def test_eyes_that_may_not_see_get_a_mask(vault: PostgresVault) -> None:
    sealed = vault.seal("secret", subject=ANNA, purpose="p")
    assert mask(f'{{"a":"{sealed}","b":1}}') == '{"a":"[sealed]","b":1}'


async def test_a_destroyed_key_opens_nothing_and_can_be_destroyed_again(
    installation: Installation, vault: PostgresVault
) -> None:
    anna = vault.seal("secret", subject=ANNA, purpose="a test")
    bert = vault.seal("secret", subject=BERT, purpose="a test")
    for _ in range(2):
        await vault.destroy([ANNA])
    for each in (vault, installation.another_vault()):
        await each.load([ANNA, BERT])
        with pytest.raises(KeyDestroyed):
            each.open(anna, purpose="a test")
        assert opened(each, anna, purpose="a test") is None
        assert opened(each, bert, purpose="a test") == "secret"
    assert opened(vault, "not sealed", purpose="a test") == "not sealed"


async def test_another_process_forgets_a_destroyed_key_within_a_minute(
    installation: Installation, vault: PostgresVault
) -> None:
    now = [1000.0]
    other = PostgresVault(installation.pool, secret=SECRET, clock=lambda: now[0])
    sealed = vault.seal("secret", subject=ANNA, purpose="a test")
    await other.load([ANNA, BERT])
    await vault.destroy([ANNA])
    now[0] += REMEMBERED_SECONDS
    await other.load([BERT])
    assert opened(other, sealed, purpose="a test") is None


async def test_a_key_just_loaded_is_usable_for_a_while_whatever_else_is_loaded(
    installation: Installation, vault: PostgresVault
) -> None:
    now = [1000.0]
    other = PostgresVault(installation.pool, secret=SECRET, clock=lambda: now[0])
    sealed = vault.seal("secret", subject=ANNA, purpose="a test")
    await other.load([ANNA])
    now[0] += REMEMBERED_SECONDS - 1
    await other.load([ANNA])
    now[0] += REMEMBERED_SECONDS / 3
    await other.load([BERT])
    assert opened(other, sealed, purpose="a test") == "secret"
