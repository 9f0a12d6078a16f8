from collections import Counter

from tests.api.conftest import Api
from tests.api.test_routes import is_problem


async def test_pages_have_every_thing_once(api: Api) -> None:
    anna, berta = await api.join("anna"), await api.join("berta")
    await berta.create_key()
    for number in range(7):
        await anna.create_key(name=f"key {number}")
    seen: Counter[str] = Counter()
    for page in (1, 2, 3, 4):
        answer = (await anna.get(f"/v1/api-keys?page={page}&limit=3")).json()
        seen.update(key["name"] for key in answer["apiKeys"])
        pagination = answer["pagination"]
        pagination.pop("nextCursor")
        assert pagination == {"page": page, "limit": 3, "total": 7, "totalPages": 3}
    assert seen == Counter(f"key {number}" for number in range(7))


async def test_a_cursor_walks_on_where_it_was_although_the_list_grows(api: Api) -> None:
    anna = await api.join()
    for number in range(5):
        await anna.deploy(f"app-{number}")
    for sort in ("createdAt", "-createdAt", "appName", "-appName", "updatedAt"):
        path = f"/v1/deployments?limit=2&sort={sort}"
        names: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            answer = (await anna.get(f"{path}&cursor={cursor}" if cursor else path)).json()
            names += [each["appName"] for each in answer["deployments"]]
            cursor = answer["pagination"]["nextCursor"]
        expected = sorted(names, reverse=sort.startswith("-"))
        assert names == expected == sorted(set(names), reverse=sort.startswith("-"))
        assert len(names) == 5

    first = (await anna.get("/v1/deployments?limit=2&sort=-appName")).json()
    await anna.deploy("app-9")
    cursor = first["pagination"]["nextCursor"]
    second = (await anna.get(f"/v1/deployments?limit=2&cursor={cursor}")).json()
    assert [each["appName"] for each in second["deployments"]] == ["app-2", "app-1"]


async def test_what_is_not_a_page_is_refused(api: Api) -> None:
    anna = await api.join()
    for _ in range(3):
        await anna.create_key()
    cursor = (await anna.get("/v1/api-keys?limit=1")).json()["pagination"]["nextCursor"]
    for query in (
        "page=0",
        "page=-1",
        "page=1.5",
        "page=1e3",
        "page=99999999999999999999",
        "limit=0",
        "limit=101",
        "sort=secretHash",
        "sort=created_at;drop table events",
        "sort=--name",
        "cursor=",
        "cursor=AAAA",
        f"cursor={cursor[:-2]}AA",
        f"cursor={cursor}&sort=name",
        f"cursor={cursor}&page=2",
        "cursor=%00",
    ):
        assert is_problem(await anna.get(f"/v1/api-keys?{query}"), 422), query
    assert is_problem(await anna.get(f"/v1/deployments?cursor={cursor}"), 422)
    assert (await anna.get(f"/v1/api-keys?cursor={cursor}")).status_code == 200
