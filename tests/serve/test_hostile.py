"""Input that is broken, too large, too slow or malicious: a clear error, and the server lives on."""

import json
import random
import socket
import struct
import time

import pytest

import case_file
from program import wait_until

CHAT = "/v1/chat/completions"
CASES = case_file.read_cases("openai/hostile.case")


@pytest.fixture(autouse=True)
def still_answers(server, client, model):
    yield
    assert server.get("/health")[0] == 200
    answer = client.completions.create(model=model, prompt="Hello", max_tokens=2)
    assert answer.usage.completion_tokens >= 1
    wait_until(server.is_idle, 10, "no blocks are left behind")


def head(length, path=CHAT, more=""):
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n{more}\r\n"
    ).encode()


def read_answer(connection):
    """Returns (status, everything that came) once the server has closed or gone silent."""
    data = b""
    try:
        while block := connection.recv(65536):
            data += block
    except (TimeoutError, ConnectionResetError):
        pass
    return int(data.split(b" ", 2)[1]) if data.startswith(b"HTTP/1.1 ") else 0, data


def error_of(body):
    error = json.loads(body)["error"]
    assert set(error) >= {"message", "type", "param", "code"} and error["message"]
    return error


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_case(server, case):
    sent_as = {"content-type": "application/json"}
    status, headers, body = server.request(case.method, case.path, case.body.encode(), sent_as)
    assert status == case.status, body
    assert headers["Content-Type"] == case.content_type
    assert case_file.mismatch(json.loads(case.expected), json.loads(body)) == ""


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\xff\xfe{}", id="utf-16 mark"),
        pytest.param(b'{"model": "\xc3\x28"}', id="bad utf-8"),
        pytest.param(b"\x00" * 100, id="zeros"),
        pytest.param(b'{"a":"\x00"}', id="zero in string"),
        pytest.param(b"[" * 100_000, id="deep arrays"),
        pytest.param(b'{"a":' * 50_000, id="deep objects"),
        pytest.param(b"9" * 100_000, id="long number"),
    ],
)
def test_bytes_that_are_not_json(server, body):
    status, _, answer = server.request("POST", CHAT, body)
    assert status == 400
    error_of(answer)


def would_run_long(body):
    try:
        return json.loads(body).get("max_tokens", 1000) > 100
    except (ValueError, TypeError, AttributeError):
        return False


def test_random_mutations_of_a_request(server, model):
    rng = random.Random(5)
    request = {"model": model, "messages": [{"role": "user", "content": "hi \u00e9"}], "max_tokens": 1}
    good = json.dumps(request | {"temperature": 0.5, "stop": ["x"]}).encode()
    for _ in range(300):
        body = bytearray(good)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(body))
            kind = rng.randrange(3)
            if kind == 0:
                body[at] = rng.randrange(256)
            elif kind == 1:
                del body[at]
            else:
                body.insert(at, rng.choice(b'{}[]",:0-9e'))
        if would_run_long(body):
            continue
        status, _, answer = server.request("POST", CHAT, bytes(body))
        assert status in (200, 400, 404), (bytes(body), answer)
        if status != 200:
            error_of(answer)


def test_body_of_100_megabytes(server):
    size = 100 << 20
    with server.connect() as connection:
        connection.sendall(head(size))
        block = b"x" * (1 << 20)
        sent = 0
        while sent < size:  # a client that reads only after it has sent all
            sent += connection.send(block[: size - sent])
        status, data = read_answer(connection)
    assert status == 413
    assert b"bytes" in data


def test_announced_100_megabytes_are_refused_before_they_come(server):
    with server.connect() as connection:
        begin = time.monotonic()
        connection.sendall(head(100 << 20, more="Expect: 100-continue\r\n"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
        assert time.monotonic() - begin < 2


def test_slow_sender_holds_up_nobody(server, client, model):
    with server.connect() as slow:
        slow.sendall(head(1000))
        for _ in range(20):
            slow.sendall(b" ")
            begin = time.monotonic()
            assert server.get("/health")[0] == 200
            assert time.monotonic() - begin < 1
            time.sleep(0.02)


def test_header_bomb(server):
    with server.connect() as connection:
        try:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
            for i in range(20_000):
                connection.sendall(b"x-%d: %s\r\n" % (i, b"a" * 100))
        except OSError:
            pass  # refused while sending is fine, as long as the answer can be read
        assert read_answer(connection)[0] == 431


def test_long_path(server):
    status, _, body = server.get("/" + "a" * 5000)
    assert status == 404
    error_of(body)
    with server.connect() as connection:
        connection.sendall(b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read_answer(connection)[0] == 414


def test_random_bytes(server):
    rng = random.Random(3)
    for i in range(100):
        with server.connect(timeout_s=5) as connection:
            try:
                connection.sendall(rng.randbytes(rng.randrange(1, 2000)) + (b"\r\n\r\n" if i % 2 else b""))
                if i % 2:
                    assert read_answer(connection)[0] in (0, 400, 431, 505)
            except ConnectionError:
                pass


def test_many_half_open_connections(server):
    connections = []
    try:
        for i in range(1500):
            connection = server.connect(timeout_s=5)
            connection.sendall((b"", b"POST", head(100) + b'{"model"')[i % 3])
            connections.append(connection)
            if i % 300 == 299:
                assert server.get("/health")[0] == 200, f"with {i + 1} half-open connections"
    finally:
        for connection in connections:
            connection.close()


@pytest.mark.parametrize("part", [0.2, 0.6, 1.0])
def test_clients_that_reset(server, model, part):
    body = json.dumps({"model": model, "prompt": "x", "max_tokens": 500, "stream": True, "ignore_eos": True}).encode()
    whole = head(len(body), "/v1/completions") + body
    for _ in range(20):
        connection = server.connect()
        connection.sendall(whole[: int(len(whole) * part)])
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


def test_reader_that_never_reads(server, model):
    request = {"model": model, "prompt": "x", "max_tokens": 1500, "stream": True, "ignore_eos": True, "logprobs": 5}
    body = json.dumps(request).encode()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(head(len(body), "/v1/completions") + body)
        time.sleep(1)
        assert server.get("/health")[0] == 200


def test_dns_rebinding(server):
    status, _, body = server.request("GET", "/v1/models", headers={"Host": "evil.example"})
    assert status == 403
    error_of(body)
    assert server.request("GET", "/v1/models", headers={"Origin": "https://evil.example"})[0] == 403


def test_wrong_method(server):
    status, headers, body = server.request("DELETE", CHAT)
    assert (status, headers["Allow"]) == (405, "POST")
    error_of(body)


@pytest.mark.parametrize("method, path", [("GET", "/nowhere"), ("POST", "/v1/nothing"), ("GET", "/v1/chat"),
                                          ("DELETE", CHAT)])
def test_no_such_route_in_openais_form(server, method, path):
    status, _, body = server.request(method, path, b"{}" if method == "POST" else None)
    error = json.loads(body)["error"]
    assert status == (405 if path == CHAT else 404)
    assert (error["type"], error["param"]) == ("invalid_request_error", None) and error["code"] is not None


def test_no_such_route_in_the_form_of_its_api(server):
    status, _, body = server.request("GET", "/v1/messages/none/such/path")
    assert status == 404 and json.loads(body)["type"] == "error"
    assert json.loads(body)["error"]["type"] == "not_found_error"
    status, _, body = server.request("GET", "/api/nothing")
    assert status == 404 and "/api/nothing" in json.loads(body)["error"]
