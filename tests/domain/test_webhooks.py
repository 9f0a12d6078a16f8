"""Webhooks: where one may lead, what it may ask for, and how it is rotated and disabled."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from domain.webhooks.events import (
    WebhookCreated,
    WebhookDeleted,
    WebhookDisabled,
    WebhookEnabled,
    WebhookReplayRequested,
    WebhookRetryRequested,
    WebhookSecretRotated,
    WebhookTestRequested,
    WebhookUpdated,
)
from domain.webhooks.values import (
    DisabledBecause,
    InvalidEventType,
    InvalidWebhookUrl,
    endpoint_of,
    event_types,
    matches,
    secret_of,
)
from domain.webhooks.webhook import (
    WEBHOOK,
    NothingToReplay,
    TooManyWebhooks,
    Webhook,
    WebhookIsDisabled,
    must_have_room,
)
from tests.scenario import given

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ID = "whk-0000000001"
KNOWN = ("deployment.created", "deployment.status.changed", "domain.failed", "key.created")

created = WebhookCreated(
    webhook_id=ID,
    team_id="org-0000000001",
    url="sealed url",
    event_types=("deployment.*",),
    secret="sealed secret",
    created_by="usr-0000000001",
)
disabled = WebhookDisabled(webhook_id=ID, reason=DisabledBecause.ASKED)


@pytest.mark.parametrize(
    ("text", "url", "place"),
    [
        ("https://example.com", "https://example.com/", ("example.com", 443)),
        ("https://example.com?a=b", "https://example.com/?a=b", ("example.com", 443)),
        ("HTTPS://Example.COM.:443/A?b=c", "https://example.com/A?b=c", ("example.com", 443)),
        ("https://bücher.example/x", "https://xn--bcher-kva.example/x", None),
        ("https://1.1.1.1/x", "https://1.1.1.1/x", ("1.1.1.1", 443)),
        ("https://[2606:4700:0::1111]/", "https://[2606:4700::1111]/", ("2606:4700::1111", 443)),
        ("https://a_b.example.com/", None, None),
    ],
)
def test_a_url_is_kept_in_one_form(
    text: str, url: str | None, place: tuple[str, int] | None
) -> None:
    if url is None:
        with pytest.raises(InvalidWebhookUrl):
            endpoint_of(text)
        return
    endpoint = endpoint_of(text)
    assert endpoint.url == url
    assert place in {None, (endpoint.host, endpoint.port)}
    assert not endpoint.vouched
    assert endpoint_of(url) == endpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com",
        "//example.com/",
        "http://example.com/",
        "https://example.com:8443/",
        "https://example.com:22/",
        "https://example.com:2375/",
        "https://example.com:5432/",
        "https://example.com:6379/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com:/",
        "gopher://example.com/",
        "file:///etc/passwd",
        "unix:/var/run/docker.sock",
        "javascript:alert(1)",
        "https://user:secret@example.com/",
        "https://@example.com/",
        "https://example.com\\@127.0.0.1/",
        "https://example.com/#part",
        "https://example.com/a b",
        "https://example.com/\r\nX-Evil: 1",
        "https://example.com/ü",
        "https:///path",
        "https://localhost/",
        "https://localhost./",
        "https://LOCALHOST/",
        "https://a.localhost/",
        "https://metadata/",
        "https://metadata.google.internal/",
        "https://printer.local/",
        "https://router.lan/",
        "https://1.0.0.127.in-addr.arpa/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://127.0.0.1%00.example.com/",
        "https://[::1/",
        "https://[example.com]/",
        "https://[fe80::1%25eth0]/",
        "https://exa mple.com/",
        "https://-example.com/",
        "https://" + "a" * 64 + ".com/",
        "https://example.com/" + "a" * 2000,
    ],
)
def test_a_url_that_can_lead_nowhere_outside_is_refused(text: str) -> None:
    with pytest.raises(InvalidWebhookUrl):
        endpoint_of(text)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "hooks.internal"])
def test_a_host_the_operator_vouches_for_is_taken_at_any_port_without_tls(host: str) -> None:
    assert endpoint_of(f"http://{host}:3000/x", private_hosts=[host]).vouched
    assert endpoint_of(f"http://{host}:3000/x", private_hosts=[f"{host}:3000"]).port == 3000
    for other in ([f"{host}:3001"], ["example.com"], []):
        with pytest.raises(InvalidWebhookUrl):
            endpoint_of(f"http://{host}:3000/x", private_hosts=other)


def test_full_width_digits_are_the_address_they_look_like() -> None:
    fullwidth = "\uff11\uff12\uff17\uff0e\uff10\uff0e\uff10\uff0e\uff11"
    assert endpoint_of(f"https://{fullwidth}/").host == "127.0.0.1"


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("*", [True, True, True, True]),
        ("deployment.*", [True, True, False, False]),
        ("deployment.status.*", [False, True, False, False]),
        ("domain.failed", [False, False, True, False]),
    ],
)
def test_a_pattern_asks_for_all_that_begins_so(pattern: str, wanted: list[bool]) -> None:
    assert [matches([pattern], each) for each in KNOWN] == wanted
    assert event_types([pattern, pattern], known=KNOWN) == (pattern,)


@pytest.mark.parametrize(
    "pattern", ["", "deployment", "deployment.", "deploy*", "*.created", "**", "key.*.*", "nothing"]
)
def test_a_pattern_that_asks_for_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidEventType):
        event_types(["*", pattern], known=KNOWN)


def test_a_secret_has_the_form_that_libraries_know() -> None:
    assert secret_of(bytes(32)) == "whsec_" + "A" * 43 + "="


def test_a_team_has_only_so_many() -> None:
    must_have_room(1, webhooks_max=2)
    with pytest.raises(TooManyWebhooks):
        must_have_room(2, webhooks_max=2)


def test_a_change_says_how_it_is_from_now_on_and_the_same_again_nothing() -> None:
    wish = {"url": "another sealed url", "event_types": ("*",), "description": "x"}
    updated = WebhookUpdated(
        webhook_id=ID, url="another sealed url", event_types=("*",), description="x"
    )
    changed = given(WEBHOOK, created).when(lambda w: w.change(**wish)).then(updated)
    changed.and_then().when(lambda w: w.change(**wish)).then_nothing_happened()


def test_a_rotated_secret_takes_the_place_of_the_one_before() -> None:
    rotated = WebhookSecretRotated(webhook_id=ID, secret="new", previous_until=NOON + HOUR)
    (
        given(WEBHOOK, created)
        .when(lambda w: w.rotate("new", grace=HOUR, now=NOON))
        .then(rotated)
        .then_state(secret="new", previous_until=NOON + HOUR)
    )


def test_it_is_disabled_and_enabled_once() -> None:
    failing = WebhookDisabled(webhook_id=ID, reason=DisabledBecause.FAILING, failing_since=NOON)
    story = given(WEBHOOK, created).when(
        lambda w: w.disable(DisabledBecause.FAILING, failing_since=NOON)
    )
    story = story.then(failing).and_then()
    story.when(lambda w: w.disable(DisabledBecause.GONE)).then_nothing_happened()
    story.when(lambda w: w.enable()).then(WebhookEnabled(webhook_id=ID))
    given(WEBHOOK, created).when(lambda w: w.enable()).then_nothing_happened()
    gone = given(WEBHOOK, created, WebhookDeleted(webhook_id=ID))
    gone.when(lambda w: w.disable(DisabledBecause.GONE)).then_nothing_happened()
    gone.when(lambda w: w.delete()).then_nothing_happened()


def test_a_disabled_one_is_tested_but_not_retried_or_replayed() -> None:
    tested = WebhookTestRequested(webhook_id=ID, delivery_id="whd-0000000001")
    retried = WebhookRetryRequested(webhook_id=ID, delivery_id="whd-0000000001")
    for past in ((created,), (created, disabled)):
        given(WEBHOOK, *past).when(lambda w: w.test("whd-0000000001")).then(tested)
    given(WEBHOOK, created).when(lambda w: w.retry("whd-0000000001")).then(retried)
    refused = given(WEBHOOK, created, disabled)
    refused.when(lambda w: w.retry("whd-0000000001")).then_refused(WebhookIsDisabled)
    refused.when(
        lambda w: w.replay(since=NOON - HOUR, until=NOON, missed_only=False, now=NOON)
    ).then_refused(WebhookIsDisabled)


def test_a_replay_ends_now_at_the_latest_and_begins_before() -> None:
    asked = WebhookReplayRequested(webhook_id=ID, since=NOON - HOUR, until=NOON, missed_only=True)
    given(WEBHOOK, created).when(
        lambda w: w.replay(since=NOON - HOUR, until=NOON + HOUR, missed_only=True, now=NOON)
    ).then(asked)
    for since, until in ((NOON, NOON + HOUR), (NOON - HOUR, NOON - HOUR)):
        replay = partial(Webhook.replay, since=since, until=until, missed_only=False, now=NOON)
        given(WEBHOOK, created).when(replay).then_refused(NothingToReplay)
