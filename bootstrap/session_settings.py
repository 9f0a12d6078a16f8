"""How people sign in, and how long that lasts."""

from dataclasses import dataclass

from bootstrap import setting_kinds as kinds
from bootstrap.setting_kinds import setting


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """Passwords and how long a sign-in lasts."""

    access_token_seconds: int = setting(
        "TALLYPORT_ACCESS_TOKEN_SECONDS",
        kinds.number(30, 86_400),
        "600",
        "Life of an access token.",
    )
    refresh_idle_days: int = setting(
        "TALLYPORT_REFRESH_IDLE_DAYS",
        kinds.number(1, 365),
        "7",
        "A session not used for so long ends.",
    )
    refresh_days_max: int = setting(
        "TALLYPORT_REFRESH_DAYS_MAX",
        kinds.number(1, 365),
        "30",
        "A session ends after so long, used or not.",
    )
    admin_second_factor: str = setting(
        "TALLYPORT_ADMIN_SECOND_FACTOR",
        kinds.choice("once-set", "always", "never"),
        "once-set",
        "When admins of the platform must have signed in with a second factor or a passkey: "
        "`once-set` for who has one, `always`, `never`.",
    )
    oauth_form: str = setting(
        "TALLYPORT_TOKEN_FORM",
        kinds.choice("on", "off"),
        "on",
        "Whether `POST /token` signs in with OAuth 2's password form, for tools that know no "
        "other; `off` answers 404.",
    )
    otp_issuer: str = setting(
        "TALLYPORT_OTP_ISSUER",
        kinds.TEXT,
        "Tallyport",
        "The name under which authenticator apps show the codes for this installation.",
    )
    verify_email: str = setting(
        "TALLYPORT_VERIFY_EMAIL",
        kinds.choice("on", "off"),
        "off",
        "Whether people must show that their address is theirs before they can sign in.",
    )
    password_length_min: int = setting(
        "TALLYPORT_PASSWORD_MIN_LENGTH",
        kinds.number(8, 64),
        "8",
        "Characters a password must have; 15 is better where it is the only factor.",
    )
    guesses_per_network: int = setting(
        "TALLYPORT_GUESSES_PER_NETWORK",
        kinds.number(1, 1_000_000),
        "10",
        "Wrong passwords for one account and from one network in a quarter of an hour.",
    )
    guesses_per_account: int = setting(
        "TALLYPORT_GUESSES_PER_ACCOUNT",
        kinds.number(1, 1_000_000),
        "50",
        "Wrong passwords for one account; then only networks it knows may try.",
    )
    argon2_memory_kib: int = setting(
        "TALLYPORT_ARGON2_MEMORY_KIB",
        kinds.number(19_456, 2**21),
        "65536",
        "Memory for hashing one password.",
    )
    argon2_time_cost: int = setting(
        "TALLYPORT_ARGON2_TIME_COST",
        kinds.number(2, 100),
        "3",
        "Passes over that memory.",
    )
    argon2_parallelism: int = setting(
        "TALLYPORT_ARGON2_PARALLELISM",
        kinds.number(1, 64),
        "1",
        "Lanes computed side by side; each takes a processor while a password is hashed.",
    )
    argon2_processes: int | None = setting(
        "TALLYPORT_ARGON2_PROCESSES",
        kinds.number(1, 64),
        "",
        "Passwords hashed at the same time, by processes of the lowest priority.",
        shown_default="one less than processors, 1 to 4",
    )
    argon2_waiting_max: int = setting(
        "TALLYPORT_ARGON2_WAITING_MAX",
        kinds.number(1, 10_000),
        "50",
        "Passwords that wait to be hashed; who comes then is told to come back.",
    )
