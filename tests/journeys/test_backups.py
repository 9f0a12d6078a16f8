"""A home is backed up while it runs and made anew elsewhere, as the documentation says."""

from pathlib import Path
from typing import Any

import httpx

from tests.cli.conftest import CommandLine
from tests.cli.documents import FOLDER, Reader
from tests.platform import PASSWORD, Person, Platform


def history(person: Person, resource: str) -> list[dict[str, Any]]:
    return list(person.get(f"/history/{resource}")["events"])


def test_a_restored_home_has_the_same_history_people_and_keys(tmp_path: Path) -> None:
    with Platform(tmp_path / "home") as platform:
        person = Person(platform, "keeper")
        key = person.create_key(name="kept", scopes=["keys:read"])
        gone = person.create_key(name="gone")["id"]
        person.delete(f"/api-keys/{gone}")
        before = {each: history(person, each) for each in (key["id"], gone)}
        profile = person.get("/user/profile")
        line = CommandLine(None, tmp_path)
        line.environment["TALLYPORT_HOME"] = str(platform.home)
        refused = line.run("restore", str(tmp_path))
        assert refused.code == 2
        with Reader(tmp_path, line.environment, {}) as reader:
            reader.follow(FOLDER / "operations" / "backups.md")
        assert line.run("backup", str(tmp_path / "backups" / "monday")).code == 2
        line.environment["TALLYPORT_HOME"] = str(tmp_path / "restored")
        assert line.run("restore", str(tmp_path / "backups" / "monday")).code == 2
        after_the_backup = person.create_key(name="too late")["id"]
        person.close()
    with Platform(tmp_path / "restored") as restored:
        person.platform = restored
        person.api = httpx.Client(base_url=f"{restored.api_url}/v1", timeout=20)
        login = person.post("/auth/login", email=person.email, password=PASSWORD)
        person.api.headers["Authorization"] = f"Bearer {login['accessToken']}"
        assert {each: history(person, each) for each in before} == before
        again = person.get("/user/profile")
        assert (again["id"], again["email"]) == (profile["id"], profile["email"])
        names = {each["name"]: each["id"] for each in person.get("/api-keys")["apiKeys"]}
        assert names == {"kept": key["id"]}
        assert after_the_backup not in names.values()
        headers = {"X-API-Key": key["apiKey"]}
        assert httpx.get(f"{restored.api_url}/v1/api-keys", headers=headers).is_success
        person.close()
    for path in ("secrets", "log.dump"):
        assert (tmp_path / "backups" / "monday" / path).exists()
    assert (tmp_path / "backups" / "monday").stat().st_mode & 0o077 == 0
