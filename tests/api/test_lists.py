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


async def test_a_cursor_belongs_to_the_filters_it_was_made_with(api: Api) -> None:
    anna = await api.join()
    for number in range(3):
        await anna.deploy(f"app-{number}")
    path = "/v1/deployments?limit=1&status=pending"
    cursor = (await anna.get(path)).json()["pagination"]["nextCursor"]
    assert (await anna.get(f"{path}&cursor={cursor}")).status_code == 200
    for other in ("", "&status=running"):
        answer = await anna.get(f"/v1/deployments?limit=1&cursor={cursor}{other}")
        assert is_problem(answer, 422), other


async def test_a_walk_meets_everything_that_was_there_all_the_time_exactly_once(api: Api) -> None:
    anna = await api.join()
    keys = [(await anna.create_key(name=f"k-{number:02}"))["id"] for number in range(12)]
    seen: list[str] = []
    cursor, part = "", 0
    while cursor is not None:
        after = f"&cursor={cursor}" if cursor else ""
        answer = (await anna.get(f"/v1/api-keys?limit=3&sort=name{after}")).json()
        seen += [key["name"] for key in answer["apiKeys"]]
        cursor = answer["pagination"]["nextCursor"]
        # What comes and goes meanwhile, before and behind, moves nothing.
        await anna.create_key(name=f"a-{part}")
        await anna.create_key(name=f"z-{part}" if part < 2 else f"b-{part}")
        await anna.ask("DELETE", f"/v1/api-keys/{keys[part]}")
        part += 1
    assert [name for name in seen if name.startswith("k")] == [f"k-{n:02}" for n in range(12)]
    assert len(set(seen)) == len(seen)
