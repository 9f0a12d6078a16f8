"""What people do with the command line, on a whole platform."""

import json
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import CommandLine, sign_in
from tests.platform import Person, Platform


@pytest.mark.usefixtures("hello")
def test_a_folder_becomes_a_url_that_a_new_key_opens(
    tallyport: CommandLine, platform: Platform
) -> None:
    key = tallyport.ok("keys", "create", "opener", "--quiet", "--deployment", "hello").out.strip()
    headers = {"Host": "hello.apps.localhost", "X-API-Key": key}

    def answers() -> bool:
        return httpx.get(f"{platform.gateway_url}/hi", headers=headers).is_success

    platform.wait_until(answers, 30, "the key does not open the deployment")
    shown = tallyport.ok("keys", "show", "opener")
    assert "opener" in shown.out
    assert key not in shown.out
    revoked = tallyport.ok("keys", "revoke", "opener", "--yes")
    assert "revoked" in revoked.err
    assert tallyport.run("keys", "show", "opener").code == 4


def test_deploying_again_under_the_same_name_makes_a_revision(
    tallyport: CommandLine, hello: Path
) -> None:
    room = ("--storage", "16Mi", "--pids", "100")
    again = tallyport.ok("deploy", str(hello), "--env", "GREETING=hello", "--public", *room)
    assert "there already" in again.err
    shown = tallyport.ok("deployments", "show", "hello", "--json").json
    assert shown["visibility"] == "public"
    assert (shown["resources"]["storage"], shown["resources"]["pids"]) == ("16Mi", 100)
    assert shown["liveRevision"] == shown["revision"] > 1
    back = tallyport.ok("deployments", "rollback", "hello", "1", "--json").json
    assert back["liveRevision"] == shown["revision"] + 1
    rows = tallyport.ok("deployments", "revisions", "hello")
    assert "rolled back" in rows.out


def test_single_variables_are_set_and_taken_out_and_the_others_stay(
    tallyport: CommandLine, hello: Path
) -> None:
    tallyport.ok("deploy", str(hello), "--env", "OTHER=1")
    tallyport.ok("env", "set", "hello", "THIRD=3", "--no-wait")
    assert "revision" in tallyport.ok("env", "unset", "hello", "OTHER").err
    assert tallyport.ok("env", "list", "hello").out.split() == ["NAME", "GREETING", "THIRD"]
    assert tallyport.run("env", "set", "hello").code == 2
    assert tallyport.run("env", "set", "hello", "LD_PRELOAD=x").code == 5


@pytest.mark.usefixtures("hello")
def test_a_deployment_is_scaled_stopped_and_started(tallyport: CommandLine) -> None:
    tallyport.ok("deployments", "scale", "hello", "2")
    assert "2 of 2 ready" in tallyport.ok("deployments", "status", "hello").out
    assert tallyport.run("deployments", "stop", "hello").code == 2
    assert "stopped" in tallyport.ok("deployments", "stop", "hello", "--yes").err
    listed = tallyport.ok("deployments", "list", "--status", "stopped")
    assert "hello" in listed.out
    assert "running" in tallyport.ok("deployments", "start", "hello").err


@pytest.mark.usefixtures("hello")
def test_a_revision_that_cannot_start_is_told_with_its_reason(tallyport: CommandLine) -> None:
    failed = tallyport.run("deploy", "--name", "hello", "--image", "nobody.invalid/nothing:1")
    assert failed.code == 1
    assert "failed" in failed.err
    assert "nobody.invalid/nothing:1" in failed.err
    assert "goes on serving" in failed.err


@pytest.mark.usefixtures("hello")
def test_the_lines_it_wrote_are_shown_and_found(tallyport: CommandLine, platform: Platform) -> None:
    def written() -> bool:
        return "listening" in tallyport.ok("logs", "hello", "--search", "LISTENING").out

    platform.wait_until(written, 30, "the lines are not stored")
    lines = tallyport.ok("logs", "hello", "--tail", "1", "--json").json["logs"]
    assert len(lines) == 1
    assert tallyport.ok("logs", "hello", "--since", "0s").out == ""


@pytest.mark.usefixtures("hello")
def test_numbers_and_the_record_are_shown_as_tables_and_as_the_api_says_them(
    tallyport: CommandLine, anna: Person
) -> None:
    assert "Requests" in tallyport.ok("analytics", "overview", "--from", "1h").out
    nothing = tallyport.ok("analytics", "requests", "--status", "418", "--path", "/", "--slowest")
    assert "Nothing was called." in nothing.out + nothing.err
    assert tallyport.ok("usage", "--json").json.keys() == anna.get("/usage").keys()
    assert "Total" in tallyport.ok("estimate").out
    assert "latencyP99" in tallyport.ok("deployments", "metrics", "hello").out
    history = tallyport.ok("history", "hello")
    assert "DeploymentRequested" in history.out
    audit = tallyport.ok("audit", "list", "--resource", "hello", "--json").json
    assert audit["pagination"]["total"] > 1
    exported = tallyport.ok("audit", "list", "--resource", "hello", "--export").out.splitlines()
    assert len(exported) == audit["pagination"]["total"]


@pytest.mark.usefixtures("hello")
def test_a_domain_is_added_with_its_records_looked_at_and_removed(tallyport: CommandLine) -> None:
    added = tallyport.ok("domains", "add", "hello", "api.anna.example")
    assert "CNAME" in added.out
    assert "TXT" in added.out
    assert "api.anna.example" in tallyport.ok("domains", "list", "hello").out
    asked = ("domains", "verify", "hello", "api.anna.example", "--no-wait")
    assert "checked" in tallyport.ok(*asked).err
    shown = tallyport.ok("domains", "show", "hello", "api.anna.example", "--json").json
    assert shown["status"] != "active"
    moved = tallyport.ok("domains", "move", "hello", "api.anna.example", "hello", "--json").json
    assert (moved["message"], moved["deploymentId"]) == ("Domain moved", shown["deploymentId"])
    tallyport.ok("domains", "remove", "hello", shown["id"], "--yes")
    assert tallyport.run("domains", "show", "hello", "api.anna.example").code == 4


def test_an_image_of_the_catalogue_needs_no_port(tallyport: CommandLine) -> None:
    assert "tallyport/echo" in tallyport.ok("images").out
    made = tallyport.ok("deploy", "--name", "an-echo", "--image", "tallyport/echo", "--json").json
    assert (made["status"], made["port"]) == ("running", 8080)
    assert tallyport.ok("open", "an-echo").out.strip() == made["url"]
    tallyport.ok("deployments", "delete", made["id"], "--yes", "--json")


def test_teams_are_founded_filled_and_given_up(tallyport: CommandLine) -> None:
    team = tallyport.ok("teams", "create", "The crew").out.strip()
    assert "anna" in tallyport.ok("teams", "members", "The crew").out
    invited = tallyport.ok("teams", "invite", team, "bob@example.com", "--role", "viewer")
    assert "bob@example.com" in tallyport.ok("invitations", "list", team).out
    tallyport.ok("invitations", "revoke", team, invited.out.strip(), "--yes")
    assert "Nobody" in tallyport.ok("invitations", "list", team).err
    tallyport.ok("teams", "rename", team, "Crew")
    assert "Crew" in tallyport.ok("teams", "list").out
    assert tallyport.run("teams", "role", "Crew", "anna", "viewer").code == 5
    tallyport.ok("teams", "delete", "Crew", "--yes")
    assert tallyport.run("teams", "members", "Crew").code == 4


def test_a_key_is_rotated_and_expires_when_it_was_told_to(tallyport: CommandLine) -> None:
    made = tallyport.ok("keys", "create", "turning", "--expires", "30d", "--json").json
    assert made["expiresAt"]
    rotated = tallyport.ok("keys", "rotate", "turning", "--grace", "10m")
    assert rotated.out.startswith("tp_live_")
    assert rotated.out.strip() != made["apiKey"]
    assert "works until" in rotated.err
    assert "turning" in tallyport.ok("keys", "list").out
    tallyport.ok("keys", "revoke", made["id"], "--yes")


def test_a_key_is_changed_in_place(tallyport: CommandLine) -> None:
    made = tallyport.ok("keys", "create", "changing", "--expires", "30d", "--json").json
    assert tallyport.run("keys", "update", "changing").code == 2
    changes = ("--name", "changed", "--scope", "call:*", "--scope", "logs:read", "--limit", "7")
    more = ("--network", "10.0.0.0/8", "--expires", "never", "--description", "for the till")
    assert "changed" in tallyport.ok("keys", "update", made["id"], *changes, *more).err
    shown = tallyport.ok("keys", "show", "changed", "--json").json
    assert (shown["scopes"], shown["requestsPerMinute"]) == (["call:*", "logs:read"], 7)
    assert (shown["allowedCidrs"], shown["expiresAt"]) == (["10.0.0.0/8"], None)
    tallyport.ok("keys", "update", made["id"], "--network", "any", "--description", "")
    shown = tallyport.ok("keys", "show", "changed", "--json").json
    assert (shown["allowedCidrs"], shown["description"]) == ([], None)
    tallyport.ok("keys", "revoke", made["id"], "--yes")


def test_a_deployment_is_priced_and_given_to_another_team(tallyport: CommandLine) -> None:
    check = ("--health-kind", "tcp", "--name", "given", "--image", "tallyport/echo")
    made = tallyport.ok("deploy", *check, "--json").json
    assert made["healthCheck"]["type"] == "tcp"
    priced = tallyport.ok("estimate", "given", "--replicas", "4", "--memory", "256Mi")
    assert "replicas" in priced.out
    assert "A month has" in priced.err
    assert tallyport.run("estimate", "--replicas", "4").code == 2
    team = tallyport.ok("teams", "create", "Takers").out.strip()
    assert tallyport.run("deployments", "transfer", "given", "Takers").code == 2
    assert "runs for" in tallyport.ok("deployments", "transfer", "given", "Takers", "--yes").err
    assert tallyport.ok("deployments", "show", "given", "--json").json["teamId"] == team
    tallyport.ok("deployments", "delete", "given", "--yes")


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("--health", "/health"), "http"),
        (("--health-command", "true 'one argument'"), "command"),
        (("--health-kind", "image"), "image"),
    ],
)
def test_the_kinds_of_health_checks_are_asked_for(
    tallyport: CommandLine, arguments: tuple[str, ...], kind: str
) -> None:
    image = ("--image", "tallyport/echo", "--no-wait", "--json")
    name = f"checked-{kind}"
    asked = tallyport.ok("deploy", "--name", name, *image, *arguments).json
    check = tallyport.ok("deployments", "show", asked["id"], "--json").json["healthCheck"]
    assert check["type"] == kind
    if kind == "command":
        assert check["command"] == ["true", "one argument"]
        wrong = tallyport.run("deploy", "--name", name, *image, "--health-command", "'no end")
        assert wrong.code == 2
    tallyport.ok("deployments", "delete", asked["id"], "--yes")


def test_two_keys_of_one_name_are_told_apart_by_their_ids(tallyport: CommandLine) -> None:
    ids = [tallyport.ok("keys", "create", "twin", "--json").json["id"] for _ in range(2)]
    refused = tallyport.run("keys", "show", "twin")
    assert refused.code == 2
    assert all(each in refused.err for each in ids)
    for each in ids:
        tallyport.ok("keys", "revoke", each, "--yes")


def test_a_list_is_walked_to_its_end_with_all(tallyport: CommandLine) -> None:
    for number in range(3):
        tallyport.ok("keys", "create", f"one of {number}")
    some = tallyport.ok("keys", "list", "--limit", "2")
    assert "--all" in some.err
    everything = tallyport.ok("keys", "list", "--all", "--json").json
    assert len(everything["apiKeys"]) == everything["pagination"]["total"]


def test_who_is_signed_in_is_told_and_signing_out_ends_it(
    stranger: CommandLine, platform: Platform
) -> None:
    Person(platform, "zoe").close()
    assert stranger.run("whoami").code == 3
    assert stranger.run("logout").code == 3
    password = "correct horse battery staple\n"
    wrong = stranger.run("login", "--email", "zoe@example.com", "--password-stdin", stdin="no\n")
    assert wrong.code == 3
    assert not stranger.logins.exists()
    stranger.ok("login", "--email", "zoe@example.com", "--password-stdin", stdin=password)
    assert stranger.logins.stat().st_mode & 0o777 == 0o600
    assert stranger.ok("whoami", "--json").json["username"] == "zoe"
    token = httpx.Headers({"Authorization": f"Bearer {access_token(stranger)}"})
    assert "zoe" in stranger.ok("status").out
    stranger.ok("logout")
    assert stranger.run("whoami").code == 3
    answer = httpx.get(f"{platform.api_url}/v1/user/profile", headers=token)
    assert answer.status_code == 401


def access_token(line: CommandLine) -> str:
    kept = json.loads(line.logins.read_text())
    return str(kept["logins"][kept["current"]]["access_token"])


def test_a_key_signs_in_too_from_the_environment_or_kept(
    tallyport: CommandLine, stranger: CommandLine
) -> None:
    scopes = ("--scope", "deployments:read")
    secret = tallyport.ok("keys", "create", "for scripts", *scopes, "--quiet").out.strip()
    stranger.ok("login", "--key", stdin=f"{secret}\n")
    assert secret[:12] in stranger.ok("whoami").out
    stranger.ok("deployments", "list")
    refused = stranger.run("keys", "list")
    assert refused.code == 5
    assert "keys:read" in refused.err
    stranger.ok("logout")
    stranger.environment["TALLYPORT_API_KEY"] = secret
    stranger.ok("deployments", "list", "--json")
    stranger.environment["TALLYPORT_API_KEY"] = f"tp_live_{'0' * 42}_000000"
    assert stranger.run("deployments", "list").code == 3


def test_what_goes_wrong_is_said_in_words_with_its_own_exit_code(
    tallyport: CommandLine, stranger: CommandLine, platform: Platform
) -> None:
    gone = tallyport.run("deployments", "show", "dpl-0000000000")
    assert gone.code == 4
    assert "Request: " in gone.err
    assert gone.out == ""
    invalid = tallyport.run("deploy", "--name", "Not A Name", "--image", "tallyport/echo")
    assert invalid.code == 5
    image = ("--image", "tallyport/echo", "--no-wait")
    tallyport.ok("deploy", "--name", "taken", *image)
    Person(platform, "rival").close()
    sign_in(stranger, "rival")
    assert stranger.run("deploy", "--name", "taken", *image).code == 6
    tallyport.ok("deployments", "delete", "taken", "--yes")
    assert tallyport.run("deployments", "list", "--status", "wrong").code == 5
    assert tallyport.run("no-such-command").code == 2
    stranger.environment["TALLYPORT_URL"] = "http://127.0.0.1:9"
    unreachable = stranger.run("deployments", "list")
    assert unreachable.code == 3  # the login belongs to another API
    stranger.environment["TALLYPORT_API_KEY"] = "tp_live_x"
    unreachable = stranger.run("deployments", "list")
    assert unreachable.code == 7
    assert "bin/up" in unreachable.err


def test_a_webhook_is_made_tested_replayed_and_deleted(tallyport: CommandLine) -> None:
    made = tallyport.ok(
        *("webhooks", "create", "https://hooks.example.com/t"),
        *("--event", "deployment.*", "--description", "to the pager", "--json"),
    ).json
    assert made["secret"].startswith("whsec_")
    assert "to the pager" in tallyport.ok("webhooks", "list").out
    assert "deployment.*" in tallyport.ok("webhooks", "show", "to the pager").out
    assert tallyport.run("webhooks", "update", "to the pager").code == 2
    tallyport.ok("webhooks", "update", made["id"], "--event", "key.*", "--disable")
    shown = tallyport.ok("webhooks", "show", "to the pager", "--json").json
    assert (shown["eventTypes"], shown["enabled"]) == (["key.*"], False)
    assert tallyport.run("webhooks", "replay", made["id"], "--since", "1h").code == 5
    tallyport.ok("webhooks", "update", made["id"], "--enable")
    assert "sent again" in tallyport.ok("webhooks", "replay", made["id"], "--since", "1h").err
    rotated = tallyport.ok("webhooks", "rotate-secret", made["id"], "--grace", "0s", "--quiet")
    assert rotated.out.strip() not in {made["secret"], ""}
    tested = tallyport.run("webhooks", "test", "to the pager", "--json")
    assert tested.code == 1
    assert "It did not arrive" in tested.err
    sent = tested.json["id"]
    assert sent in tallyport.ok("webhooks", "deliveries", made["id"], "--json").out
    assert tested.json["problem"] in tallyport.ok("webhooks", "delivery", sent).out
    assert "again" in tallyport.ok("webhooks", "retry", sent).err
    assert "webhook.test" in tallyport.ok("webhooks", "deliveries", made["id"]).out
    assert "key.created" in tallyport.ok("webhooks", "types").out
    assert tallyport.run("webhooks", "delete", made["id"]).code == 2
    tallyport.ok("webhooks", "delete", made["id"], "--yes")
    assert tallyport.run("webhooks", "show", made["id"]).code == 4


@pytest.mark.usefixtures("hello")
def test_a_portal_is_opened_read_and_closed(tallyport: CommandLine, tmp_path: Path) -> None:
    assert "portal publish" in tallyport.ok("portal", "show", "hello").err
    assert tallyport.run("portal", "document", "hello").code == 4
    assert tallyport.run("portal", "publish", "hello").code == 2
    file = tmp_path / "openapi.yaml"
    file.write_text("openapi: 3.1.0\ninfo: {title: Hi, version: '1'}\npaths: {/hi: {get: {}}}\n")
    tallyport.ok("portal", "publish", "hello", str(file))
    file.write_text(file.read_text().replace("/hi:", "/hello:").replace("'1'", "'2'"))
    tallyport.ok("portal", "publish", "hello", "-", stdin=file.read_text())
    assert tallyport.ok("portal", "document", "hello").json["info"]["version"] == "2"
    assert "/hello:" in tallyport.ok("portal", "document", "hello", "--as", "yaml").out
    postman = tallyport.ok("portal", "document", "hello", "--as", "postman").json
    assert "v2.1" in postman["info"]["schema"]
    newest = tallyport.ok("portal", "changelog", "hello").out.splitlines()[1]
    assert "GET /hello" in newest
    opened = tallyport.ok("portal", "visibility", "hello", "public")
    assert opened.out.endswith("/portal/hello\n")
    assert "everybody" in tallyport.ok("portal", "show", "hello").out
    file.write_text("openapi: 2.0")
    refused = tallyport.run("portal", "publish", "hello", str(file))
    assert refused.code == 5
    assert "/openapi: is not 3.0.x or 3.1.x" in refused.err
    missing = tallyport.run("portal", "publish", "hello", str(tmp_path / "nowhere.yaml"))
    assert missing.code == 1
    assert "nowhere.yaml" in missing.err
    assert tallyport.run("portal", "visibility", "hello", "nobody").code == 2
    assert tallyport.run("portal", "withdraw", "hello").code == 2
    tallyport.ok("portal", "withdraw", "hello", "--yes")
    tallyport.ok("portal", "visibility", "hello", "off")


def test_sessions_elsewhere_are_ended(stranger: CommandLine, platform: Platform) -> None:
    Person(platform, "maud").close()
    sign_in(stranger, "maud")
    listed = stranger.ok("sessions", "list", "--json").json["sessions"]
    other = next(each["id"] for each in listed if not each["current"])
    assert other in stranger.ok("sessions", "list").out
    assert stranger.run("sessions", "end", "--yes").code == 2
    assert stranger.run("sessions", "end", other).code == 2
    stranger.ok("sessions", "end", other, "--yes")
    stranger.ok("sessions", "end", "--others", "--yes")
    assert len(stranger.ok("sessions", "list", "--json").json["sessions"]) == 1
