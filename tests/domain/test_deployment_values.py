"""What is accepted as a name, an image, an amount, an environment and a path: tables."""

import contextlib
import re

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from domain.deployments import values
from domain.deployments.values import (
    HealthCheck,
    InvalidAppName,
    InvalidEnvironment,
    InvalidHealthCheck,
    InvalidHealthPath,
    InvalidImage,
    InvalidQuantity,
    app_name,
    cpu_millis,
    cpu_text,
    environment,
    health_check,
    health_path,
    image,
    memory_bytes,
    memory_text,
    pids,
)


@pytest.mark.parametrize("text", ["abc", "hello", "a1b", "my-api-2", "a" * 40, "a-b-c"])
def test_an_app_name_is_accepted(text: str) -> None:
    assert app_name(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ab",
        "a" * 41,
        "Hello",
        "1abc",
        "-abc",
        "abc-",
        "a--b",
        "xn--80ak6aa92e",
        "a_b",
        "a.b",
        "a b",
        "abc\n",
        "\u0430bc",  # Cyrillic
        "caf\u00e9",
        "abc\0",
        *sorted(values.RESERVED_APP_NAMES),
    ],
)
def test_what_is_no_app_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidAppName):
        app_name(text)


@for_all(st.text(max_size=60))
def test_every_accepted_app_name_is_a_label_of_a_host_name(text: str) -> None:
    with contextlib.suppress(InvalidAppName):
        assert re.fullmatch(r"(?!-)[a-z0-9-]{1,63}(?<!-)", app_name(text))


DIGEST = "@sha256:" + "a" * 64


@pytest.mark.parametrize(
    "text",
    [
        "nginx",
        "nginx:1.27",
        "library/nginx",
        "tallyport/echo",
        "ghcr.io/you/api:1.2",
        "ghcr.io/you/api" + DIGEST,
        "ghcr.io/you/api:1.2" + DIGEST,
        "registry.example.com:5000/a/b/c:v1.0_x-y",
        "localhost:5000/api",
        "a__b/c-d.e",
        "nginx:" + "x" * 128,
    ],
)
def test_an_image_reference_is_accepted(text: str) -> None:
    assert image(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-v",
        "--privileged",
        "-v/:/host",
        "nginx --privileged",
        "../etc",
        "a/../b",
        "/nginx",
        "nginx/",
        "a//b",
        "http://evil/x",
        "nginx@sha256:" + "a" * 63,
        "nginx@sha256:" + "a" * 65,
        "nginx@sha256:" + "A" * 64,
        "nginx@md5:" + "a" * 32,
        "Nginx",
        "ghcr.io/You/api",
        "nginx:",
        "nginx:-x",
        "nginx:" + "x" * 129,
        "nginx:a:b",
        "ngin\u0445",  # Cyrillic
        "nginx\n",
        "nginx\0",
        "nginx latest",
        "${HOME}",
        "$(id)",
        "`id`",
        "nginx;id",
        "a" * 300,
        "_nginx",
        "nginx_",
        "ngi___nx",
    ],
)
def test_what_is_no_image_reference_is_refused(text: str) -> None:
    with pytest.raises(InvalidImage):
        image(text)


@for_all(st.text(alphabet=st.characters(codec="utf-8"), max_size=80))
def test_no_accepted_image_can_be_read_as_an_option_or_a_path_upwards(text: str) -> None:
    try:
        accepted = image(text)
    except InvalidImage:
        return
    assert accepted[0].isalnum()
    assert ".." not in accepted
    assert not set(accepted) & set(" \t\n\0;$`'\"\\|&<>(){}[]*?!#%^~+=,")


@pytest.mark.parametrize(
    ("text", "millis"),
    [
        ("10m", 10),
        ("100m", 100),
        ("0.5", 500),
        ("1", 1000),
        ("1.25", 1250),
        ("0.01", 10),
        ("64", 64_000),
        ("64000m", 64_000),
        ("0.1", 100),
        ("1.5", 1500),
    ],
)
def test_an_amount_of_processor_is_read(text: str, millis: int) -> None:
    assert cpu_millis(text) == millis
    assert cpu_millis(cpu_text(millis)) == millis


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "9m",
        "65",
        "64001m",
        "-1",
        "+1",
        "1,5",
        "1e3",
        "0.0001",
        "1m5",
        " 1",
        "1\n",
        "inf",
        "nan",
        "\u0661",
        "m",
        ".5",
        "1.",
        "100M",
        "9999999m",
    ],
)
def test_what_is_no_amount_of_processor_is_refused(text: str) -> None:
    with pytest.raises(InvalidQuantity):
        cpu_millis(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8Mi", 8 << 20),
        ("8192Ki", 8 << 20),
        ("128Mi", 128 << 20),
        ("1Gi", 1 << 30),
        ("256Gi", 256 << 30),
        ("1025Mi", 1025 << 20),
    ],
)
def test_an_amount_of_memory_is_read(text: str, size: int) -> None:
    assert memory_bytes(text) == size
    assert memory_bytes(memory_text(size)) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0Mi",
        "7Mi",
        "257Gi",
        "128",
        "128M",
        "128MB",
        "128mi",
        "1.5Gi",
        "-1Gi",
        " 1Gi",
        "1Gi\n",
        "1Ti",
        "9999999Ki",
        "\u0661Gi",
    ],
)
def test_what_is_no_amount_of_memory_is_refused(text: str) -> None:
    with pytest.raises(InvalidQuantity):
        memory_bytes(text)


@pytest.mark.parametrize("count", [16, 256, 4096])
def test_a_number_of_processes_within_the_bounds_is_taken(count: int) -> None:
    assert pids(count) == count


@pytest.mark.parametrize("count", [-1, 0, 15, 4097])
def test_too_few_or_too_many_processes_are_refused(count: int) -> None:
    with pytest.raises(InvalidQuantity):
        pids(count)


@for_all(st.integers(8 << 10, 256 << 20))
def test_memory_is_written_as_it_is_read(kibibytes: int) -> None:
    text = memory_text(kibibytes << 10)
    if len(text) <= 8:
        assert memory_bytes(text) == kibibytes << 10


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"A": ""},
        {"DATABASE_URL": "postgres://x", "_x1": "line one\nline two", "a": "\u00fc \U0001f600"},
        {"MY_PATH": "/x", "PATHS": "x", "XLD_PRELOAD": "x"},
        {"A": "x" * values.VARIABLE_BYTES_MAX},
        {"V" * 128: "x"},
        {f"V{n}": "x" for n in range(values.VARIABLES_MAX)},
    ],
)
def test_an_environment_is_accepted(variables: dict[str, str]) -> None:
    assert environment(variables) == variables


@pytest.mark.parametrize(
    "name",
    [
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "ld_preload",
        "DYLD_INSERT_LIBRARIES",
        "PATH",
        "Path",
        "HOME",
        "PYTHONSTARTUP",
        "PYTHONPATH",
        "NODE_OPTIONS",
        "DOCKER_HOST",
        "HTTP_PROXY",
        "https_proxy",
        "TALLYPORT_SECRET_KEY",
        "PORT",
        "BASH_ENV",
        "IFS",
        "JAVA_TOOL_OPTIONS",
        "RUBYOPT",
        "PERL5LIB",
        "PYTHONINSPECT",
        "GCONV_PATH",
        "",
        "1A",
        "A-B",
        "A B",
        "A=B",
        "A\nB",
        "A\0",
        "A.B",
        "\u00c4",
        "V" * 129,
        "A\n",
        "\ud800",
    ],
)
def test_a_variable_that_is_none_or_changes_how_the_image_starts_is_refused(name: str) -> None:
    with pytest.raises(InvalidEnvironment):
        environment({"FINE": "x", name: "x"})


@pytest.mark.parametrize(
    "variables",
    [
        {"A": "x" * (values.VARIABLE_BYTES_MAX + 1)},
        {"A": "\u00fc" * (values.VARIABLE_BYTES_MAX // 2 + 1)},
        {"A": "x" * 1_000_000},
        {"A": "with \0"},
        {"A": "half a character \ud800"},
        {f"V{n}": "x" for n in range(values.VARIABLES_MAX + 1)},
        {f"V{n}": "x" for n in range(10_000)},
        {f"V{n}": "x" * values.VARIABLE_BYTES_MAX for n in range(5)},
    ],
)
def test_an_environment_that_is_too_large_or_no_text_is_refused(variables: dict[str, str]) -> None:
    with pytest.raises(InvalidEnvironment):
        environment(variables)


@for_all(st.dictionaries(st.text(max_size=20), st.text(max_size=50), max_size=5))
def test_an_accepted_environment_can_be_handed_to_a_process(variables: dict[str, str]) -> None:
    try:
        accepted = environment(variables)
    except InvalidEnvironment:
        return
    for name, value in accepted.items():
        assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)
        assert b"\0" not in value.encode()


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/health",
        "/health/live",
        "/health?deep=1&x=a%20b",
        "/a.b-c_d~e",
        "/x?to=me@example.com",
        "/" + "x" * 511,
    ],
)
def test_a_health_path_is_accepted(path: str) -> None:
    assert health_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "health",
        "//evil.example",
        "http://evil/",
        "/@evil",
        "/x@evil/",
        "\\\\evil",
        "/\\evil",
        "/a\r\nHost: evil",
        "/a\n",
        "/a b",
        "/a\0",
        "/\u00fc",
        "/a#b",
        "/" + "x" * 10_000,
        "@host",
        "/health\r\n",
        " /health",
        "/" + "x" * 512,
        "/<script>",
        '/"',
        "/[x]",
        "/{x}",
        "/^",
        "/|",
    ],
)
def test_a_health_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(InvalidHealthPath):
        health_path(path)


@for_all(st.text(max_size=60), st.sampled_from(["", "/", "//", "/x"]))
def test_an_accepted_health_path_is_one_request_line_to_the_app_itself(
    text: str, beginning: str
) -> None:
    try:
        path = health_path(beginning + text)
    except InvalidHealthPath:
        return
    assert path.startswith("/")
    assert not path.startswith("//")
    assert path.isascii()
    assert path.isprintable()
    assert " " not in path


@pytest.mark.parametrize(
    "check",
    [
        HealthCheck(path="/health"),
        HealthCheck(kind="tcp"),
        HealthCheck(kind="image"),
        HealthCheck(kind="command", command=("pg_isready", "-q")),
        HealthCheck(kind="command", command=("sh", "-c", "curl -f localhost/\n || exit 1; \u00fc")),
        HealthCheck(kind="command", command=("x",) * values.ARGUMENTS_MAX),
        HealthCheck(kind="command", command=("x", "y" * values.ARGUMENT_BYTES_MAX)),
    ],
)
def test_a_health_check_is_accepted(check: HealthCheck) -> None:
    assert health_check(check) is check


@pytest.mark.parametrize(
    "check",
    [
        HealthCheck(kind="tcp", path="/health"),
        HealthCheck(kind="image", command=("true",)),
        HealthCheck(path="/health", command=("true",)),
        HealthCheck(kind="command"),
        HealthCheck(kind="command", command=("",)),
        HealthCheck(kind="command", command=("sh", "-c", "x\0y")),
        HealthCheck(kind="command", command=("x\ud800",)),
        HealthCheck(kind="command", command=("x",) * (values.ARGUMENTS_MAX + 1)),
        HealthCheck(kind="command", command=("x", "y" * (values.ARGUMENT_BYTES_MAX + 1))),
        HealthCheck(kind="command", command=("\u00fc" * values.ARGUMENT_BYTES_MAX,)),
        HealthCheck(kind="command", command=("y" * values.ARGUMENT_BYTES_MAX,) * 5),
    ],
)
def test_a_health_check_that_cannot_be_carried_out_is_refused(check: HealthCheck) -> None:
    with pytest.raises(InvalidHealthCheck):
        health_check(check)


def test_a_health_check_by_request_needs_a_path() -> None:
    with pytest.raises(InvalidHealthPath):
        health_check(HealthCheck())


@for_all(st.lists(st.text(max_size=20), max_size=5))
def test_an_accepted_command_can_be_handed_to_a_process(command: list[str]) -> None:
    with contextlib.suppress(InvalidHealthCheck):
        check = health_check(HealthCheck(kind="command", command=tuple(command)))
        assert check.command[0]
        assert all(b"\0" not in argument.encode() for argument in check.command)
