import asyncio
import base64
import http.client
import json
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from bootstrap.embedded.clickhouse_engine import split_insert
from tests.infrastructure.clickhouse.process import PASSWORD, ROOT, USER, ClickHouseProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseProcess]:
    process = ClickHouseProcess(tmp_path_factory.mktemp("click house")).start()
    yield process
    process.stop()


def connect(server: ClickHouseProcess, password: str = PASSWORD, **options: Any) -> Client:
    return clickhouse_connect.get_client(
        host="127.0.0.1", port=server.port, username=USER, password=password, **options
    )


@pytest.fixture(scope="module")
def client(server: ClickHouseProcess) -> Client:
    return connect(server, autogenerate_session_id=False)


@pytest.fixture
def table(client: Client) -> Iterator[str]:
    name = f"t_{uuid4().hex}"
    yield name
    client.command(f"DROP TABLE IF EXISTS {name} SYNC")


BASIC = {"Authorization": f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"}


def ask(
    server: ClickHouseProcess,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request(
        "POST" if body is not None else "GET", path, body, BASIC if headers is None else headers
    )
    response = connection.getresponse()
    answer = (response.status, response.read(), response.headers)
    connection.close()
    return answer


def test_every_type_that_analytics_could_use_goes_in_and_comes_out(
    client: Client, table: str
) -> None:
    client.command(
        f"CREATE TABLE {table} (id UUID, at DateTime64(3, 'UTC'), name LowCardinality(String),"
        " tags Map(String, String), scores Array(Int32), yes Bool, maybe Nullable(Float64),"
        " document JSON) ENGINE = MergeTree PARTITION BY toYYYYMM(at) ORDER BY id"
    )
    row = [
        UUID(int=7),
        datetime(2026, 3, 14, 12, 0, 0, 123000, UTC),
        "ünï\x00😀",
        {"a": "b'\\"},
        [1, -2],
        True,
        None,
        {"x": 1},
    ]
    summary = client.insert(table, [row]).summary
    assert summary["written_rows"] == "1"
    [found] = client.query(f"SELECT * FROM {table}").result_rows
    assert list(found) == [row[0], datetime(2026, 3, 14, 12, 0, 0, 123000), *row[2:]]  # noqa: DTZ001 # the driver's naive UTC


def test_parameters_are_bound_whatever_is_in_them(client: Client) -> None:
    hostile = ["", "'; DROP TABLE x; --", "a\x00b", "\\", "\\N", "ünï😀", "\t\n\r", "x" * 300_000]
    for text in hostile:
        parameters = {"text": text, "texts": [text, "other"], "number": 7}
        [row] = client.query(
            "SELECT {text:String}, {texts:Array(String)}, {number:Int64}, {none:Nullable(String)}",
            parameters={**parameters, "none": None},
        ).result_rows
        assert row == (text, [text, "other"], 7, None)


def test_an_in_list_of_many_strings_is_answered(client: Client) -> None:
    texts = [f"text {number}" for number in range(50_000)]
    query = (
        "SELECT count() FROM numbers(50001)"
        " WHERE concat('text ', toString(number)) IN {t:Array(String)}"
    )
    assert client.query(query, parameters={"t": texts}).result_rows == [(50_000,)]


@pytest.mark.parametrize("compress", ["no", "gzip", "zstd", "lz4"])
def test_inserts_arrive_however_the_driver_compresses_them(
    server: ClickHouseProcess, client: Client, table: str, compress: str
) -> None:
    client.command(f"CREATE TABLE {table} (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
    own = connect(server, compress=False if compress == "no" else compress)
    own.insert(table, [[number, "x" * 10] for number in range(20_000)], column_names=["a", "b"])
    result = own.query(f"SELECT count(), sum(a), uniqExact(_part) FROM {table}")
    assert result.result_rows == [(20_000, 199_990_000, 1)]
    own.close()


@pytest.mark.parametrize(
    ("data_format", "rows"),
    [
        ("JSONEachRow", b'{"a":1,"b":"FORMAT x"}\n{"a":2,"b":"\\u0000"}\n'),
        ("TabSeparated", b"1\tFORMAT x\n2\t\\0\n"),
        ("RowBinary", b"\x01\0\0\0\0\0\0\0\x08FORMAT x\x02\0\0\0\0\0\0\0\x01\0"),
        ("CSV", b"1,FORMAT x\n2,\0\n"),
    ],
)
def test_formats_pass_through_both_ways(
    client: Client, table: str, data_format: str, rows: bytes
) -> None:
    client.command(f"CREATE TABLE {table} (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
    client.raw_insert(table, ["a", "b"], rows, fmt=data_format)
    client.raw_insert(table, ["a", "b"], (part for part in (rows[:5], rows[5:])), fmt=data_format)
    found = client.query(f"SELECT * FROM {table} ORDER BY a").result_rows
    assert found == [(1, "FORMAT x"), (1, "FORMAT x"), (2, "\x00"), (2, "\x00")]
    if data_format != "CSV":  # which quotes
        again = client.raw_query(f"SELECT DISTINCT * FROM {table} ORDER BY a", fmt=data_format)
        assert again == rows


def test_commands_answer_as_a_server_does(client: Client, table: str) -> None:
    assert client.command("SELECT 1") == 1
    assert client.command("SELECT 'a', 'b'") == ["a", "b"]
    assert client.command("SELECT 1 WHERE 0") == ""
    summary = client.command(f"CREATE TABLE {table} (a UInt8) ENGINE = MergeTree ORDER BY a")
    assert not isinstance(summary, str | int | list)
    client.command(f"INSERT INTO {table} VALUES (1), (2)")
    client.command(f"INSERT INTO {table} FORMAT CSV", data="3\n4\n")
    client.command(f"INSERT INTO {table} SELECT number + 5 FROM numbers(2)")
    assert client.command(f"SELECT groupArray(a) FROM (SELECT a FROM {table} ORDER BY a)") == (
        "[1,2,3,4,5,6]"
    )
    client.command(f"ALTER TABLE {table} ADD COLUMN b String DEFAULT 'x'")
    client.command(f"DELETE FROM {table} WHERE a > 3")
    assert client.query(f"SELECT a, b FROM {table} ORDER BY a").result_rows[-1] == (3, "x")


def test_columns_without_rows_and_streams_of_blocks_work(client: Client) -> None:
    assert client.query("SELECT 1 AS a, 'x' AS b LIMIT 0").column_names == ("a", "b")
    with client.query_row_block_stream("SELECT number FROM numbers(200000)") as blocks:
        assert sum(len(block) for block in blocks) == 200_000


def test_a_setting_holds_for_its_request_only(client: Client) -> None:
    question = "SELECT getSetting('max_block_size')"
    assert client.query(question, settings={"max_block_size": 77}).result_rows == [(77,)]
    assert client.query(question).result_rows != [(77,)]


def test_a_database_holds_for_its_request_only(server: ClickHouseProcess, client: Client) -> None:
    client.command("CREATE DATABASE IF NOT EXISTS `other db`")
    other = connect(server, database="other db")
    assert other.query("SELECT currentDatabase()").result_rows == [("other db",)]
    assert client.query("SELECT currentDatabase()").result_rows == [("default",)]
    other.close()


@pytest.mark.parametrize(
    ("statement", "code", "status"),
    [
        ("SELEC 1", 62, 400),
        ("SELECT * FROM nowhere", 60, 404),
        ("SELECT nothing", 47, 404),
        ("SELECT throwIf(1)", 395, 500),
        ("INSERT INTO nowhere FORMAT CSV\n1\n", 60, 404),
        ("", 62, 400),
    ],
)
def test_errors_have_clickhouses_numbers_and_words(
    server: ClickHouseProcess, statement: str, code: int, status: int
) -> None:
    found, body, headers = ask(server, "/", statement.encode())
    assert found == status
    assert headers["X-ClickHouse-Exception-Code"] == str(code)
    assert body.startswith(f"Code: {code}. DB::Exception: ".encode())
    assert b"(version " in body


def test_the_driver_sees_error_numbers(client: Client) -> None:
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE") as caught:
        client.query("SELECT * FROM nowhere")
    assert caught.value.code == 60


def test_a_broken_insert_stores_nothing_and_the_connection_goes_on(
    client: Client, table: str
) -> None:
    client.command(f"CREATE TABLE {table} (a UInt64) ENGINE = MergeTree ORDER BY a")
    with pytest.raises(DatabaseError):
        client.raw_insert(table, ["a"], b"1\n2\nthree\n", fmt="CSV")
    assert client.query(f"SELECT count() FROM {table}").result_rows == [(0,)]


def test_an_insert_that_is_killed_says_so_and_stores_nothing(
    server: ClickHouseProcess, client: Client, table: str
) -> None:
    client.command(f"CREATE TABLE {table} (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
    rows = b"".join(b"%d\tvalue %d\n" % (number, number) for number in range(2_000_000))
    killed = 0
    for _ in range(20):
        with ThreadPoolExecutor(1) as threads:
            target = f"/?query=INSERT+INTO+{table}+FORMAT+TSV&log_comment={table}"
            answer = threads.submit(ask, server, target, rows)
            while not answer.done():
                client.command(
                    "KILL QUERY WHERE Settings['log_comment'] = {table:String} SYNC",
                    parameters={"table": table},
                )
            status, _, headers = answer.result(30)
        count = client.query(f"SELECT count() FROM {table}").result_rows[0][0]
        killed += headers.get("X-ClickHouse-Exception-Code") == "394"
        assert (status == 200) == (count == 2_000_000)
        client.command(f"TRUNCATE TABLE {table}")
        if killed == 2:
            return
    pytest.fail("no insert was ever killed")


def test_an_insert_whose_client_died_in_the_middle_is_not_run(
    server: ClickHouseProcess, client: Client, table: str
) -> None:
    client.command(f"CREATE TABLE {table} (a UInt64) ENGINE = MergeTree ORDER BY a")
    target = f"/?query=INSERT+INTO+{table}+FORMAT+CSV"
    heads = (
        b"Transfer-Encoding: chunked\r\n\r\n4\r\n1\n2\n\r\n",
        b"Content-Length: 9\r\n\r\n1\n2\n",
    )
    for head in heads:
        with socket.create_connection(("127.0.0.1", server.port), 10) as raw:
            raw.sendall(
                f"POST {target} HTTP/1.1\r\nHost: x\r\nAuthorization: "
                f"{BASIC['Authorization']}\r\n".encode()
                + head
            )
            raw.shutdown(socket.SHUT_WR)
            assert b" 400 " in raw.recv(4096)
    assert client.query(f"SELECT count() FROM {table}").result_rows == [(0,)]


def test_a_body_that_is_too_large_or_no_number_is_refused(server: ClickHouseProcess) -> None:
    for length, status in (("99999999999", b" 413 "), ("-1", b" 413 "), ("x", b" 400 ")):
        with socket.create_connection(("127.0.0.1", server.port), 10) as raw:
            raw.sendall(
                f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: {BASIC['Authorization']}\r\n"
                f"Content-Length: {length}\r\n\r\n".encode()
            )
            assert status in raw.recv(4096)


def test_a_wrong_password_or_none_is_refused(server: ClickHouseProcess) -> None:
    with pytest.raises(DatabaseError, match="AUTHENTICATION_FAILED"):
        connect(server, password="wrong")
    wrong = base64.b64encode(f"{USER}:{PASSWORD}x".encode()).decode()
    for headers, status in (
        ({}, 401),
        ({"Authorization": f"Basic {wrong}"}, 403),
        ({"Authorization": "Basic !"}, 401),
        ({"Authorization": "Bearer x"}, 401),
        ({"X-ClickHouse-User": USER, "X-ClickHouse-Key": "wrong"}, 403),
        ({"X-ClickHouse-User": "default", "X-ClickHouse-Key": ""}, 403),
    ):
        found, body, answer_headers = ask(server, "/?query=SELECT+1", headers=headers)
        assert found == status
        assert answer_headers["X-ClickHouse-Exception-Code"] == "516"
        assert PASSWORD.encode() not in body


def test_the_password_is_taken_from_each_place_a_client_may_put_it(
    server: ClickHouseProcess,
) -> None:
    as_headers = {"X-ClickHouse-User": USER, "X-ClickHouse-Key": PASSWORD}
    assert ask(server, "/?query=SELECT+1", headers=as_headers)[:2] == (200, b"1\n")
    in_url = f"/?query=SELECT+1&user={USER}&password={PASSWORD.replace('@', '%40')}"
    assert ask(server, in_url, headers={})[:2] == (200, b"1\n")


def test_ping_needs_no_password(server: ClickHouseProcess) -> None:
    assert ask(server, "/ping", headers={})[:2] == (200, b"Ok.\n")
    assert ask(server, "/", headers={})[:2] == (200, b"Ok.\n")


def test_answers_carry_clickhouses_headers(server: ClickHouseProcess) -> None:
    _, body, headers = ask(server, "/?query_id=mine&default_format=JSONEachRow", b"SELECT 1 AS a")
    assert json.loads(body) == {"a": 1}
    assert headers["X-ClickHouse-Format"] == "JSONEachRow"
    assert headers["X-ClickHouse-Query-Id"] == "mine"
    assert headers["X-ClickHouse-Timezone"]
    assert "read_rows" in json.loads(headers["X-ClickHouse-Summary"])


def test_twenty_clients_ask_at_once(server: ClickHouseProcess) -> None:
    clients = [connect(server) for _ in range(20)]
    together = threading.Barrier(20)

    def work(index: int) -> list[Sequence[int]]:
        together.wait(10)
        return [
            clients[index]
            .query(f"SELECT sum(number) + {index} FROM numbers(1000000)")
            .result_rows[0]
            for _ in range(5)
        ]

    with ThreadPoolExecutor(20) as threads:
        for index, answers in enumerate(threads.map(work, range(20))):
            assert answers == [(499_999_500_000 + index,)] * 5
    for each in clients:
        each.close()


async def test_the_drivers_async_free_calls_share_one_client(client: Client) -> None:
    asked = [asyncio.to_thread(client.query, f"SELECT {number}") for number in range(20)]
    assert [answer.first_row for answer in await asyncio.gather(*asked)] == [
        (number,) for number in range(20)
    ]


def test_a_call_on_a_kept_connection_is_quick(client: Client) -> None:
    start = time.monotonic()
    for _ in range(50):
        client.query("SELECT 1")
    # Without TCP_NODELAY and one write per answer each call waits 40 ms.
    assert (time.monotonic() - start) / 50 < 0.03


def test_what_was_stored_is_there_after_a_stop_and_after_a_kill(tmp_path: Path) -> None:
    server = ClickHouseProcess(tmp_path / "with a space").start()
    client = connect(server, autogenerate_session_id=False)
    client.command("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
    client.insert("t", [[1], [2]], column_names=["a"])
    started = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - started < 10
    server.start()
    assert client.query("SELECT sum(a) FROM t").result_rows == [(3,)]
    client.insert("t", [[3]], column_names=["a"])
    server.kill()
    server.start()
    assert client.query("SELECT sum(a) FROM t").result_rows == [(6,)]
    assert server.stop() == 0
    assert PASSWORD not in server.log.read_text()


def test_a_stop_lets_a_running_query_finish(tmp_path: Path) -> None:
    server = ClickHouseProcess(tmp_path).start()
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(ask, server, "/", b"SELECT sleep(1)")
        time.sleep(0.3)
        assert server.stop() == 0
        assert answer.result(10)[:2] == (200, b"0\n")


def test_a_second_process_on_the_same_folder_says_who_is_there(tmp_path: Path) -> None:
    server = ClickHouseProcess(tmp_path).start()
    assert server.process is not None
    second = subprocess.run(
        server.argv("--lock-wait-seconds", "0.2"),
        cwd=ROOT,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 1
    assert f"(pid {server.process.pid})".encode() in second.stderr
    assert server.answers()
    server.stop()


def test_a_successor_waits_for_its_predecessor(tmp_path: Path) -> None:
    server = ClickHouseProcess(tmp_path).start()
    first = server.process
    assert first is not None
    successor = subprocess.Popen(
        [*server.argv()[:5], *("--port", "0"), *server.argv()[7:]], cwd=ROOT
    )
    time.sleep(0.5)
    assert successor.poll() is None
    first.send_signal(signal.SIGTERM)
    first.wait(20)
    lock = server.folder / "data" / "tallyport.lock"
    deadline = time.monotonic() + 20
    while lock.read_text() != str(successor.pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    successor.terminate()
    assert successor.wait(20) == 0


def test_a_server_without_a_password_is_not_started(tmp_path: Path) -> None:
    server = ClickHouseProcess(tmp_path)
    server.password_file.write_text("\n")
    refused = subprocess.run(server.argv(), cwd=ROOT, capture_output=True, timeout=30, check=False)
    assert refused.returncode == 1
    assert b"without a password" in refused.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"INSERT INTO t FORMAT CSV\n1,2", (b"INSERT INTO t ", b"FORMAT CSV\n", b"1,2")),
        (b"insert into t format CSV 1,2", (b"insert into t ", b"format CSV ", b"1,2")),
        (b"INSERT INTO t FORMAT X\r\n\x01", (b"INSERT INTO t ", b"FORMAT X\r\n", b"\x01")),
        (b"INSERT INTO t FORMAT CSV", (b"INSERT INTO t ", b"FORMAT CSV", b"")),
        (
            b"INSERT INTO t (a) SETTINGS max_threads = 1 FORMAT CSV\n1",
            (b"INSERT INTO t (a) ", b"SETTINGS max_threads = 1 FORMAT CSV\n", b"1"),
        ),
        (
            b"-- it's FORMAT x\n/* FORMAT y */ INSERT INTO `FORMAT z` (`a b`) FORMAT CSV\nFORMAT q",
            (
                b"-- it's FORMAT x\n/* FORMAT y */ INSERT INTO `FORMAT z` (`a b`) ",
                b"FORMAT CSV\n",
                b"FORMAT q",
            ),
        ),
        (b"INSERT INTO t VALUES ('FORMAT CSV')", None),
        (b"INSERT INTO t SELECT 1 FORMAT CSV", None),
        (b"INSERT INTO t FROM INFILE 'x' FORMAT CSV", None),
        (b"SELECT 'INSERT INTO t FORMAT CSV'", None),
        (b"INSERT", None),
        (b"", None),
    ],
)
def test_the_data_of_an_insert_begins_after_its_format(
    text: bytes, expected: tuple[bytes, bytes, bytes] | None
) -> None:
    assert split_insert(text) == expected


def test_settings_inside_an_insert_are_used(client: Client, table: str) -> None:
    client.command(f"CREATE TABLE {table} (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
    client.command(
        f"INSERT INTO {table} SETTINGS format_csv_delimiter = ';' FORMAT CSV", data="1;x\n"
    )
    assert client.query(f"SELECT * FROM {table}").result_rows == [(1, "x")]


def test_nothing_is_written_outside_the_folder(tmp_path: Path) -> None:
    server = ClickHouseProcess(tmp_path / "home").start()
    with urllib.request.urlopen(f"{server.address}/ping") as answer:
        assert answer.status == 200
    assert server.stop() == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]
    assert not (ROOT / "user_files").exists()
