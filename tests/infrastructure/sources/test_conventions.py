import pytest

from infrastructure.sources.conventions import NotStartable, start_plan

UVICORN = (
    "/bin/sh",
    "-c",
    'exec python3 -m uvicorn app:app --host "${HOST:-0.0.0.0}" --port "$PORT"',
)


@pytest.mark.parametrize(
    ("files", "runtime", "argv", "fetches"),
    [
        ({"main.py": b""}, "python", ("python3", "-u", "main.py"), False),
        (
            {"app.py": b"", "requirements.txt": b"# no\n"},
            "python",
            ("python3", "-u", "app.py"),
            False,
        ),
        ({"app.py": b"", "requirements.txt": b"uvicorn==1\n"}, "python", UVICORN, True),
        ({"server.js": b""}, "node", ("node", "server.js"), False),
        ({"index.js": b"", "package.json": b"{}"}, "node", ("node", "index.js"), False),
        (
            {
                "package.json": b'{"scripts": {"start": "node src/a.js"}, '
                b'"dependencies": {"x": "1"}}'
            },
            "node",
            ("node", "src/a.js"),
            True,
        ),
        (
            {"package.json": b'{"scripts": {"start": "node --inspect a.js"}}'},
            "node",
            ("npm", "start", "--silent"),
            False,
        ),
        ({"go.mod": b"module x\n"}, "go", ("./.tallyport-program",), False),
        ({"go.mod": b"module x\nrequire a v1\n"}, "go", ("./.tallyport-program",), True),
        (
            {"main.py": b"", "Procfile": b"worker: x\nweb: python3 serve.py \n"},
            "python",
            ("/bin/sh", "-c", "exec python3 serve.py"),
            False,
        ),
    ],
)
def test_code_is_recognised_and_started_as_its_language_has_it(
    files: dict[str, bytes], runtime: str, argv: tuple[str, ...], *, fetches: bool
) -> None:
    plan = start_plan(files, files)
    assert (plan.runtime, plan.argv, plan.fetches) == (runtime, argv, fetches)


@pytest.mark.parametrize(
    ("files", "runtime"),
    [
        ({}, None),
        ({"readme.md": b""}, None),
        ({"main.py": b"", "go.mod": b""}, None),
        ({"sub/main.py": b""}, None),
        ({"lib.py": b""}, "python"),
        ({"package.json": b"not json"}, "node"),
        ({"package.json": b"[" * 100_000}, "node"),
        ({"package.json": b'{"scripts": 7}'}, "node"),
        ({"main.go": b""}, "go"),
    ],
)
def test_code_that_nobody_knows_how_to_start_is_refused(files: dict, runtime: str | None) -> None:
    with pytest.raises(NotStartable):
        start_plan(files, files, runtime=runtime)  # type: ignore[arg-type]
