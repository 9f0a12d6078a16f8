"""What every error code means and what to do about it: one source for the pages and `docs/errors/`.

A code has a page of its own at `/problems/<code>`, which every error names as its `type`. What it
means stands at the error itself; here stands what to do, by code, or else by status.
"""

from collections.abc import Mapping, Sequence

import msgspec

Known = Mapping[str, tuple[int, str]]
"""Status and meaning of codes."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which a code is answered."""

    by: str
    """`API` or `gateway`."""
    status: int
    meaning: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything there is to say about a code."""

    code: str
    answers: tuple[Answer, ...]
    what_to_do: str


def explain(*, api: Known, gateway: Known) -> Sequence[Explanation]:
    """Return an explanation of every code, in alphabetical order."""
    return [
        _explanation(code, api.get(code), gateway.get(code)) for code in sorted({*api, *gateway})
    ]


def _explanation(
    code: str, api: tuple[int, str] | None, gateway: tuple[int, str] | None
) -> Explanation:
    answers = tuple(
        Answer(by=by, status=known[0], meaning=known[1])
        for by, known in (("API", api), ("gateway", gateway))
        if known is not None
    )
    return Explanation(
        code=code,
        answers=answers,
        what_to_do=WHAT_TO_DO.get(code) or BY_STATUS[answers[0].status],
    )


BY_STATUS: Mapping[int, str] = {
    308: "Send the request again to the address in `Location`: it begins with `https`.",
    400: "Correct the request before sending it again: the same one fails again.",
    401: "Sign in again, or send a key that is valid, and repeat the request.",
    403: (
        "Ask an owner or an admin of the team for what is missing. `error.details` names the "
        "scope where one is missing."
    ),
    404: (
        "Check the id, and whose credentials you send: what belongs to a team you are not in "
        "looks like what does not exist."
    ),
    405: "Use a method that the `Allow` header names.",
    406: "Ask for `application/json`, or leave `Accept` out.",
    408: "Send the request faster, or in smaller parts, and try again.",
    409: "Read the resource again. Take another value, or leave it as it is.",
    410: "It cannot be brought back. Stop asking for it.",
    412: "Read the resource again, decide again, and send the new `ETag` as `If-Match`.",
    413: "Send less at a time. The operator may raise `TALLYPORT_BODY_LIMIT_BYTES`.",
    415: "Send JSON with `Content-Type: application/json` and without `Content-Encoding`.",
    422: (
        "Correct what the message names; `error.details` has a line for each field where "
        "there is more than one. The same request fails again."
    ),
    429: "Wait as many seconds as `Retry-After` says, then go on more slowly.",
    500: (
        "Tell the operator the `requestId`: the log has a line with it and the cause. A write"
        " may be repeated with the same `Idempotency-Key`; it takes effect once."
    ),
    502: "Look at the app's logs: it ended, or answered something that is no HTTP.",
    503: (
        "Try again after as many seconds as `Retry-After` says, a write with the same "
        "`Idempotency-Key`. If it stays, the operator finds what is wrong at `/health/ready`."
    ),
    504: "Look at the app's logs and metrics: it is overloaded or waits for something itself.",
}

WHAT_TO_DO: Mapping[str, str] = {
    "address_not_allowed": (
        "Call from one of the key's networks, or let somebody with `keys:write` change its "
        "`allowedCidrs`."
    ),
    "already_member": "There is nothing to do. Change the role of the member instead.",
    "checked_just_now": (
        "Wait the seconds of `Retry-After`. The records are looked at by themselves as well, and "
        "what was found stands at the domain."
    ),
    "domain_taken": (
        "Remove the domain from the deployment of your team that has it, then add it here."
    ),
    "too_many_domains": (
        "Remove a domain that is not needed any more, or ask those who run the platform to raise "
        "`TALLYPORT_DOMAINS_MAX`."
    ),
    "reserved_domain": "Add a name of your own: this one is the platform's.",
    "invalid_domain": (
        "Send a host name alone: no scheme, no port, no path, no wildcard; at least two labels."
    ),
    "app_name_taken": (
        "Take another name. Names are unique on the whole installation, since each is a host "
        "name; one is free again when its deployment is deleted."
    ),
    "archive_refused": (
        "Pack files and folders only, under plain relative names: no links, no special files, no "
        "name twice, none that differs from another only in case. `zip -r` or `tar -czf` in the "
        "folder of the code does that."
    ),
    "archive_too_large": (
        "Leave out what is not code: dependencies are fetched when the code is built, data belongs "
        "elsewhere."
    ),
    "not_startable": (
        "Put `main.py`, `server.js` or `go.mod` into the archive's top folder, or a `Procfile` "
        "with a line `web: COMMAND`."
    ),
    "too_many_sources": "Delete deployments that are not needed; what none uses makes room.",
    "unknown_source": "Upload the code for the deployment's team, and send what is answered.",
    "upload_too_large": "Leave out what is not code; the operator sets the limit.",
    "app_not_found": (
        "Check the host name or the path. A stopped or deleted app is not found, nor one "
        "whose deployment began a moment ago."
    ),
    "busy": (
        "Try again after as many seconds as `Retry-After` says. Hashing passwords is limited "
        "so that it slows nothing else; a write to one thing by many at once takes turns."
    ),
    "conflict": "Try again; with `If-Match`, read the resource again first.",
    "cross_site_request": (
        "Have the operator add the page's origin to `TALLYPORT_CORS_ORIGINS`, or send the request"
        " from a server. Browsers say where a page comes from; that is what is refused here."
    ),
    "deployment_is_going": (
        "Wait until it is gone, then create another one, under the same name if you like."
    ),
    "email_taken": "Sign in, or reset the password if it is forgotten.",
    "gateway_error": (
        "Tell the operator the `requestId` and the time: the gateway's own log has the cause."
    ),
    "https_required": (
        "Call the address in `Location`, and use `https://` from now on. A key that was sent"
        " without it may have been read on the way: rotate it."
    ),
    "idempotency_key_reused": (
        "Make a new key for each thing you want done. The same key belongs to the same route,"
        " body and caller, for 24 hours."
    ),
    "still_running": (
        "Send the same request with the same `Idempotency-Key` again after a moment: it is answered"
        " as the first one."
    ),
    "too_many_idempotency_keys": (
        "Wait as long as `Retry-After` says, or leave the key out where a repeat does no harm."
    ),
    "internal_error": (
        "Tell the operator the `requestId`: the log has a line with it and the cause. A write"
        " may be repeated with the same `Idempotency-Key`; it takes effect once."
    ),
    "invalid_environment": (
        "`error.details` names the variable. Names that change how programs are loaded, or "
        "that the platform sets itself, cannot be set."
    ),
    "invalid_image": "Write it as `registry/name:tag` or `registry/name@sha256:...`.",
    "invalid_request": (
        "`error.details` has a line for each field. Fields that are not documented are "
        "refused, so a misspelt name is found here."
    ),
    "invitation_for_another": (
        "Sign in with the address the invitation was sent to, or ask for one to yours."
    ),
    "invitation_over": "Ask whoever invited you for another one.",
    "key_destroyed": (
        "Whom this was about was erased. Nobody can read it any more; what remains is that it"
        " happened."
    ),
    "key_expired": "Give the key another `expiresAt` with `PATCH`, or make a new one.",
    "key_in_query": (
        "Rotate the key: addresses are kept in histories and logs. Send the new one in `X-API-Key`."
    ),
    "key_invalid": (
        "Check that the whole key arrived (`tp_live_` and 49 more characters), that it was "
        "not revoked and has not expired. The same answer is given for all of it."
    ),
    "key_revoked": "Make a new key: a revoked one never comes back.",
    "only_owner": "Make another member an owner of each team that `details` names, or delete it.",
    "last_owner": "Make another member an owner first, or delete the team.",
    "limit_reached": (
        "Wait as many seconds as `Retry-After` says. `RateLimit` tells how much is left on "
        "every answer, so a program can slow down before."
    ),
    "malformed": (
        "Send one JSON object, in UTF-8, with the headers as documented; the message says "
        "what was wrong."
    ),
    "metering_paused": (
        "Try again later. The operator looks at the disk under the gateway's folder: when "
        "request lines can no longer be written, no requests are served that nobody could "
        "count."
    ),
    "method_not_allowed": "Use a method that the `Allow` header names.",
    "no_healthy_replica": (
        "Look at the deployment's status and logs: its replicas are starting, crash, or fail "
        "their health check."
    ),
    "nothing_to_confirm": "Begin again: ask for a new secret, and confirm it soon.",
    "otp_required": (
        "Send the same request again with `otp`: six digits of your app, or a recovery code."
    ),
    "otp_wrong": (
        "Wait for the next code and check the clock of the device. A code works once. If the "
        "app is lost, use a recovery code."
    ),
    "part_unavailable": (
        "Try again in a moment, a write with the same `Idempotency-Key`. The operator finds "
        "at `/health/ready` which part is away: PostgreSQL, ClickHouse or Redis."
    ),
    "passkey_refused": "Use the passkey you registered here, or sign in with the password.",
    "path_ambiguous": (
        "Write the path plainly: no `..`, no `//`, no `%2e`, `%2f` or `%5c`. Such paths are "
        "read differently by different programs, so they are refused."
    ),
    "personal_team": "Create a team for what several people own together.",
    "repeated": (
        "It was done, when this key was first used; the answer of then is no longer kept. "
        "Read the resource, and use a new key for anything new."
    ),
    "replica_unreachable": (
        "Try again. If it stays, look at the deployment's status: the replica is starting, "
        "stopping, or does not listen on the port the deployment names."
    ),
    "reports_not_taken": (
        "Tell the operator: reports are taken from GitHub once `TALLYPORT_GITHUB_KEYS_URL` is set,"
        " from Google once `TALLYPORT_GOOGLE_KEYS_URL` is."
    ),
    "role_too_low": "Ask an owner of the team: nobody can give more than they have.",
    "scope_missing": "Use a key with `call:*` or with `call:` and this deployment's id.",
    "second_factor_is_off": "There is nothing to do. Set it up first if you want to change it.",
    "second_factor_is_on": "Turn it off first if you want to set up another app.",
    "authorization_pending": (
        "Ask again after `interval` seconds, until somebody has typed the code of the device."
    ),
    "slow_down": "Wait five seconds longer between two questions, from now on.",
    "access_denied": "Somebody refused this device. Ask for new codes to try again.",
    "expired_token": "Ask for new codes at `POST /v1/auth/device`: they live for ten minutes.",
    "invalid_grant": "Ask for new codes at `POST /v1/auth/device`. Each is exchanged once.",
    "session_over": (
        "Sign in again. A session ends when it is signed out, not used for long, or when a "
        "refresh token comes back that had been replaced."
    ),
    "second_factor_required": (
        "Sign in again with a code of your app or with a passkey; set one of them up first at "
        "`POST /v1/user/2fa` or `POST /v1/user/passkeys/options`."
    ),
    "step_up_required": "Prove at `POST /v1/auth/step-up` that it is you, then repeat the request.",
    "store_unavailable": (
        "Try again after as many seconds as `Retry-After` says, with the same `Idempotency-"
        "Key`: whether it was stored is then found out, and it is not done twice. The "
        "operator looks after PostgreSQL."
    ),
    "team_not_empty": "Delete what the team has, or transfer it to another team, then repeat.",
    "too_many_codes": "Use a recovery code, or wait as many seconds as `Retry-After` says.",
    "quota_exceeded": "Ask for less, or stop something: what the team has is at"
    " `GET /v1/teams/{id}/quota`. An admin of the platform can give the team more.",
    "too_many_requests": (
        "Wait as many seconds as `Retry-After` says. `RateLimit` tells how much is left on "
        "every answer, so a program can slow down before."
    ),
    "unauthenticated": (
        "Send `Authorization: Bearer` with an access token or an API key, or `X-API-Key`."
    ),
    "unknown_scope": "`error.details` lists the scopes there are.",
    "username_taken": "Take another one. Names that look alike count as the same.",
    "view_behind": (
        "Try again in a moment: what you wrote is stored, the list is a little late. If it "
        "stays, the operator looks at the process `views`."
    ),
    "wrong_credentials": (
        "Check both; the same answer is given for an unknown address. Reset the password if "
        "it is forgotten."
    ),
    "wrong_signature": (
        "Sign the body as it is sent, with the key whose identifier is in the header, and "
        "send both."
    ),
}
"""What to do about a code, where it can be said better than by its status alone."""
