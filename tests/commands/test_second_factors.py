"""A second factor and proving again to be there: on a real log, with a clock of the test's own."""

import asyncio
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import msgspec
import pyotp
import pytest

from commands.bus import Bus, Command, Context, Handlers
from commands.identity import SignedIn, SignIn, WrongCredentials
from commands.identity.proofs import must_be_recent
from commands.identity.second_factors import (
    ConfirmTotp,
    DisableTotp,
    PreparedTotp,
    PrepareTotp,
    RecoveryCodes,
    ReplaceRecoveryCodes,
    StepUp,
)
from commands.work import NOBODY, Work
from domain.identity.events import SessionStarted
from domain.identity.second_factors import (
    NothingToConfirm,
    OtpRequired,
    OtpWrong,
    SecondFactorIsOff,
    SecondFactorIsOn,
    TooManyCodes,
    stream_of,
)
from domain.identity.values import SignInMethod, StepUpRequired
from tests.wiring import PASSWORD, Clock, Installation, Person

NO_ONE = Context(actor=NOBODY)


class Scene:
    """Anna, her app, and a clock."""

    def __init__(self, installation: Installation, anna: Person) -> None:
        self.installation = installation
        self.anna = anna
        self.clock = Clock()
        self.bus = installation.another_bus(self.clock)
        self.secret = ""
        self.codes: tuple[str, ...] = ()

    def code(self) -> str:
        return pyotp.TOTP(self.secret).at(int(self.clock.now.timestamp()))

    async def as_anna(self, command: Command, bus: Bus | None = None) -> object:
        return (await (bus or self.bus).dispatch(command, self.anna.context)).result

    async def sign_in(self, otp: str | None = None, *, password: str = PASSWORD) -> object:
        command = SignIn(email="anna@example.com", password=password, otp=otp)
        return (await self.bus.dispatch(command, NO_ONE)).result

    async def prepare(self) -> PreparedTotp:
        made = await self.as_anna(PrepareTotp(password=PASSWORD, issuer="Tallyport"))
        assert isinstance(made, PreparedTotp)
        self.secret = made.secret
        return made

    async def turn_on(self) -> None:
        await self.prepare()
        made = await self.as_anna(ConfirmTotp(otp=self.code()))
        assert isinstance(made, RecoveryCodes)
        self.codes = made.codes
        self.clock.pass_by(seconds=30)

    async def mails(self) -> int:
        [row] = await self.installation.query(
            "SELECT count(*) FROM events WHERE starts_with(topic, 'mail.MailRequested@')"
        )
        return int(row["count"])


@pytest.fixture
async def scene(installation: Installation) -> Scene:
    return Scene(installation, await installation.register("anna"))


async def method_of(scene: Scene, signed_in: object) -> SignInMethod:
    assert isinstance(signed_in, SignedIn)
    [started] = await scene.installation.codec.decode_all(
        await scene.installation.store.read_stream(signed_in.session_id)
    )
    assert isinstance(started, SessionStarted)
    return started.method


async def test_the_app_gets_160_bits_and_a_uri_that_says_whose(scene: Scene) -> None:
    made = await scene.prepare()
    assert len(made.secret) == 32
    uri = urlsplit(made.uri)
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert uri.path == "/Tallyport:anna%40example.com"
    assert parse_qs(uri.query) == {"secret": [made.secret], "issuer": ["Tallyport"]}
    assert made.expires_at == scene.clock.now + timedelta(minutes=10)


async def test_nothing_in_the_log_gives_the_secret_or_a_code_away(scene: Scene) -> None:
    await scene.turn_on()
    await scene.sign_in(scene.codes[0])
    rows = await scene.installation.query("SELECT convert_from(state, 'UTF8') AS t FROM events")
    everything = "".join(row["t"] for row in rows)
    for secret in (scene.secret, *scene.codes, PASSWORD):
        assert secret not in everything


async def test_a_secret_is_given_only_to_who_knows_the_password(scene: Scene) -> None:
    with pytest.raises(WrongCredentials):
        await scene.as_anna(PrepareTotp(password="wrong password", issuer="Tallyport"))
    assert await scene.installation.store.read_stream(stream_of(scene.anna.user_id)) == []


async def test_until_it_is_confirmed_the_password_alone_signs_in(scene: Scene) -> None:
    await scene.prepare()
    assert await method_of(scene, await scene.sign_in()) is SignInMethod.PASSWORD
    scene.clock.pass_by(minutes=11)
    with pytest.raises(NothingToConfirm):
        await scene.as_anna(ConfirmTotp(otp=scene.code()))


async def test_then_a_code_is_needed_but_only_after_the_right_password(scene: Scene) -> None:
    await scene.turn_on()
    with pytest.raises(WrongCredentials):
        await scene.sign_in(password="wrong password")
    with pytest.raises(WrongCredentials):
        await scene.sign_in(scene.code(), password="wrong password")
    for nothing in (None, "", " "):
        with pytest.raises(OtpRequired):
            await scene.sign_in(nothing)
    code = scene.code()
    signed_in = await scene.sign_in(f" {code[:3]} {code[3:]} ")
    assert await method_of(scene, signed_in) is SignInMethod.TOTP


async def test_a_code_counts_once_and_not_for_long(scene: Scene) -> None:
    await scene.prepare()
    first = scene.code()
    await scene.as_anna(ConfirmTotp(otp=first))
    assert isinstance(await scene.sign_in(first), OtpWrong)

    scene.clock.pass_by(seconds=30)
    second = scene.code()
    scene.clock.pass_by(seconds=30)  # a slow clock, or a slow person: the step before still counts
    assert isinstance(await scene.sign_in(second), SignedIn)
    assert isinstance(await scene.sign_in(second), OtpWrong)

    third = scene.code()
    scene.clock.pass_by(seconds=60)
    assert isinstance(await scene.sign_in(third), OtpWrong)
    scene.clock.pass_by(seconds=-30)
    assert isinstance(await scene.sign_in(third), SignedIn)


async def test_a_code_of_the_future_does_not_count(scene: Scene) -> None:
    await scene.turn_on()
    scene.clock.pass_by(seconds=30)
    code = scene.code()
    scene.clock.pass_by(seconds=-30)
    assert isinstance(await scene.sign_in(code), OtpWrong)


async def test_one_code_starts_one_session_however_many_try_at_once(scene: Scene) -> None:
    await scene.turn_on()
    code = scene.code()
    outcomes = await asyncio.gather(
        *(scene.sign_in(code) for _ in range(4)), return_exceptions=True
    )
    assert sum(isinstance(each, SignedIn) for each in outcomes) == 1
    assert all(isinstance(each, SignedIn | OtpWrong) for each in outcomes)


async def test_five_wrong_codes_are_too_many_from_wherever_and_after_a_restart(
    scene: Scene,
) -> None:
    await scene.turn_on()
    mails = await scene.mails()
    outcomes = await asyncio.gather(
        *(scene.sign_in(f"00000{number}") for number in range(5)), return_exceptions=True
    )
    assert all(isinstance(each, OtpWrong) for each in outcomes), outcomes
    assert await scene.mails() == mails + 1
    scene.bus = scene.installation.another_bus(scene.clock)
    with pytest.raises(TooManyCodes) as refusal:
        await scene.sign_in(scene.code())
    assert refusal.value.details == {"retry_after_seconds": 301}

    # The tries are the password's: a stranger is told nothing of them, and takes none.
    with pytest.raises(WrongCredentials):
        await scene.sign_in(scene.code(), password="wrong password")
    scene.clock.pass_by(minutes=5)
    assert isinstance(await scene.sign_in(scene.code()), SignedIn)


async def test_a_stranger_without_the_password_locks_nobody_out(scene: Scene) -> None:
    await scene.turn_on()
    for number in range(20):
        with pytest.raises(WrongCredentials):
            await scene.sign_in(f"{number:06}", password="wrong password")
    assert isinstance(await scene.sign_in(scene.code()), SignedIn)


async def test_a_recovery_code_signs_in_once_even_when_codes_are_locked(scene: Scene) -> None:
    await scene.turn_on()
    assert len(set(scene.codes)) == 10
    assert {len(code) for code in scene.codes} == {24}
    for number in range(5):
        await scene.sign_in(f"00000{number}")
    code = scene.codes[3]
    written = "-".join(code[at : at + 4] for at in range(0, 24, 4)).lower()
    assert await method_of(scene, await scene.sign_in(written)) is SignInMethod.RECOVERY_CODE
    with pytest.raises(OtpWrong):
        await scene.sign_in(code)
    assert isinstance(await scene.sign_in(scene.codes[4]), SignedIn)


async def test_new_recovery_codes_make_the_old_ones_void(scene: Scene) -> None:
    await scene.turn_on()
    made = await scene.as_anna(ReplaceRecoveryCodes(password=PASSWORD, otp=scene.code()))
    assert isinstance(made, RecoveryCodes)
    with pytest.raises(OtpWrong):
        await scene.sign_in(scene.codes[0])
    assert isinstance(await scene.sign_in(made.codes[0]), SignedIn)


async def test_it_is_turned_off_only_by_everything_that_signing_in_needs(scene: Scene) -> None:
    with pytest.raises(SecondFactorIsOff):
        await scene.as_anna(DisableTotp(password=PASSWORD, otp="123456"))
    await scene.turn_on()
    with pytest.raises(SecondFactorIsOn):
        await scene.prepare()
    with pytest.raises(WrongCredentials):
        await scene.as_anna(DisableTotp(password="wrong password", otp=scene.code()))
    assert isinstance(await scene.as_anna(DisableTotp(password=PASSWORD, otp="000000")), OtpWrong)
    assert await scene.as_anna(DisableTotp(password=PASSWORD, otp=scene.codes[0])) is None
    assert isinstance(await scene.sign_in(), SignedIn)
    await scene.turn_on()
    assert isinstance(await scene.sign_in(scene.code()), SignedIn)


async def test_another_process_asks_for_the_code_at_once(scene: Scene) -> None:
    elsewhere = scene.installation.another_bus(scene.clock)
    await scene.prepare()
    command = SignIn(email="anna@example.com", password=PASSWORD)
    assert (await elsewhere.dispatch(command, NO_ONE)).result  # it remembers her factors now
    await scene.as_anna(ConfirmTotp(otp=scene.code()))
    with pytest.raises(OtpRequired):
        await elsewhere.dispatch(command, NO_ONE)


class DoSomethingDelicate(Command, frozen=True, kw_only=True):
    """Anything that needs a proof of not long ago."""


async def do_something_delicate(_: DoSomethingDelicate, work: Work) -> str:
    await must_be_recent(work)
    return "done"


async def test_what_is_delicate_needs_a_proof_of_the_last_quarter_of_an_hour(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers: Handlers = {**scene.bus._handlers, DoSomethingDelicate: do_something_delicate}
    monkeypatch.setattr(scene.bus, "_handlers", handlers)
    delicate = DoSomethingDelicate()
    with pytest.raises(StepUpRequired):
        await scene.as_anna(delicate)  # not by a session at all
    signed_in = await scene.sign_in()
    assert isinstance(signed_in, SignedIn)
    actor = msgspec.structs.replace(scene.anna.context.actor, session_id=signed_in.session_id)
    scene.anna.context = Context(actor=actor)
    assert await scene.as_anna(delicate) == "done"
    scene.clock.pass_by(minutes=15, seconds=1)
    with pytest.raises(StepUpRequired):
        await scene.as_anna(delicate)
    with pytest.raises(WrongCredentials):
        await scene.as_anna(StepUp(password="wrong password"))
    with pytest.raises(StepUpRequired):
        await scene.as_anna(delicate)
    await scene.as_anna(StepUp(password=PASSWORD))
    assert await scene.as_anna(delicate) == "done"

    await scene.turn_on()
    scene.clock.pass_by(minutes=16)
    with pytest.raises(OtpRequired):
        await scene.as_anna(StepUp(password=PASSWORD))
    assert isinstance(await scene.as_anna(StepUp(password=PASSWORD, otp="000000")), OtpWrong)
    with pytest.raises(StepUpRequired):
        await scene.as_anna(delicate)
    await scene.as_anna(StepUp(password=PASSWORD, otp=scene.code()))
    assert await scene.as_anna(delicate) == "done"


async def test_every_change_is_told_by_mail(scene: Scene) -> None:
    await scene.turn_on()
    assert await scene.mails() == 1
    await scene.as_anna(ReplaceRecoveryCodes(password=PASSWORD, otp=scene.code()))
    assert await scene.mails() == 2
    scene.clock.pass_by(seconds=30)
    await scene.as_anna(DisableTotp(password=PASSWORD, otp=scene.code()))
    assert await scene.mails() == 3
