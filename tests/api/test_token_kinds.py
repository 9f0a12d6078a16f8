"""A token is good for what it was made for, and for nothing else that takes one."""

from collections.abc import Awaitable, Callable

import httpx
import msgspec

from commands.bus import Context
from commands.identity import IssueAdminLink
from commands.work import Actor
from tests.api.conftest import Api, Visitor
from tests.api.test_routes import is_problem

Use = Callable[[Visitor, str], Awaitable[httpx.Response]]
ANOTHER = "violet river in spring"


def signed_in_with(name: str, prefix: str = "") -> Use:
    async def use(visitor: Visitor, token: str) -> httpx.Response:
        headers = {name: f"{prefix}{token}"}
        return await visitor.api.client.get("/v1/user/profile", headers=headers)

    return use


def sent_to(path: str, field: str, **more: str) -> Use:
    async def use(visitor: Visitor, token: str) -> httpx.Response:
        return await visitor.post(path, {field: token, **more})

    return use


async def accepted(visitor: Visitor, token: str) -> httpx.Response:
    return await visitor.post(f"/v1/invitations/{token}/accept")


async def as_cursor(visitor: Visitor, token: str) -> httpx.Response:
    return await visitor.get(f"/v1/api-keys?limit=1&cursor={token}")


USES: dict[str, Use] = {
    "access": signed_in_with("Authorization", "Bearer "),
    "key": signed_in_with("X-API-Key"),
    "cursor": as_cursor,
    "invitation": accepted,
    "verify_email": sent_to("/v1/auth/verify-email", "token"),
    "setup": sent_to("/v1/setup", "token"),
    "refresh": sent_to("/v1/auth/refresh", "refreshToken"),
    "reset_password": sent_to("/v1/auth/reset-password", "token", newPassword=ANOTHER),
}
"""What takes a token, by the kind that it takes; what ends sessions stands last."""
REFUSED = {400, 401, 404, 410, 422}


async def links_in_mails(api: Api) -> dict[str, str]:
    """Return the token of the newest mail of each kind."""
    rows = await api.installation.query(
        "SELECT convert_from(state, 'UTF8') AS state FROM events"
        " WHERE topic LIKE 'mail.MailRequested@%%' ORDER BY notification_id"
    )
    asked = [msgspec.json.decode(row["state"])["link"] for row in rows]
    issue = api.installation.links.issue
    return {
        link["purpose"]: issue(link["purpose"], link["subject"], link["nonce"]) for link in asked
    }


async def one_of_each(api: Api, anna: Visitor, bert: Visitor) -> dict[str, str]:
    """Return a token of every kind, each of them good."""
    await bert.invite("anna@example.com", await bert.found_team())
    assert (await anna.ask("PUT", "/v1/user/profile", {"email": "anna@example.org"})).is_success
    await anna.post("/v1/auth/forgot-password", {"email": "anna@example.com"})
    keys = [(await anna.create_key())["apiKey"] for _ in range(3)]
    listed = (await anna.get("/v1/api-keys?limit=1")).json()
    link = await api.installation.dispatch(IssueAdminLink(), Context(actor=Actor(id="operator")))
    return {
        "access": anna.session["accessToken"],
        "refresh": anna.session["refreshToken"],
        "key": keys[0],
        "cursor": listed["pagination"]["nextCursor"],
        "ticket": (await anna.post("/v1/events/ticket")).json()["ticket"],
        "setup": link.result,
        **await links_in_mails(api),
    }


async def test_a_token_is_refused_wherever_another_kind_is_wanted(api: Api) -> None:
    verifying = api.another(verify_email=True)
    anna = (await api.join("anna")).at(verifying)
    tokens = await one_of_each(verifying, anna, await api.join("bert"))
    assert set(tokens) == {*USES, "ticket"}
    position = await api.installation.store.last_position()
    for wanted, use in USES.items():
        for kind, token in tokens.items():
            if kind != wanted and {kind, wanted} != {"access", "key"}:
                answer = await use(anna, token)
                assert answer.status_code in REFUSED, (kind, wanted, answer.text)
                assert is_problem(answer, answer.status_code)
    assert await api.installation.store.last_position() == position, "something was changed"

    for kind, use in USES.items():
        answer = await use(anna, tokens[kind])
        expected = 403 if kind == "key" else 200  # a key is nobody, so it has no profile
        assert answer.status_code == expected, (kind, answer.text)
    await verifying.close()
