"""What clients do to the server's connections and queues."""

import concurrent.futures
import contextlib
import http.client
import json
import os
import socket
import ssl
import struct
import tempfile
import time

from attacks import Attack
from program import Program, make_certificate

MIB = 1 << 20


def connect(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=30)


def post(server, path, body):
    """Returns (status, answer)."""
    status, _, answer = server.request("POST", path, json.dumps(body).encode(), {"content-type": "application/json"})
    return status, json.loads(answer)


def resident_bytes(server):
    for line in open(f"/proc/{server.process.pid}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    return 0


def send_until_refused(client, bytes_, times):
    """Sends until the server has had enough, and returns the first line of its answer."""
    try:
        for _ in range(times):
            client.sendall(bytes_)
    except OSError:
        pass
    try:
        return client.recv(4096).split(b"\r\n")[0]
    except ConnectionResetError:
        return b""


def endless_framing(start, more):
    """Returns an attack that sends 300 MiB of a chunked body's framing."""

    def attack(server):
        before = resident_bytes(server)
        with connect(server) as client:
            client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            client.sendall(start)
            most = before
            try:
                for _ in range(300):
                    client.sendall(more * (MIB // len(more)))
                    most = max(most, resident_bytes(server))
            except OSError:
                pass
            assert most < before + 50 * MIB, f"{(most - before) // MIB} MiB more while it was sent"
            assert send_until_refused(client, b"\r\n", 1) in (b"HTTP/1.1 413 Content Too Large", b"")

    return attack


def refused_who_stay(server):
    """More clients than the server lets in send one bad line, and then a byte now and again."""
    rude = []
    for _ in range(1060):
        client = connect(server)
        client.sendall(b"no request\r\n\r\n")
        rude.append(client)
    try:
        end = time.monotonic() + 6
        while time.monotonic() < end:
            for client in rude:
                try:
                    client.send(b"x")
                except OSError:
                    pass
            assert server.get("/v1/models")[0] == 200
            time.sleep(0.5)
    finally:
        for client in rude:
            client.close()


def leave_while_queued(server):
    """Large prompts whose senders reset the connection at once, and one who stays."""
    body = json.dumps({"model": "default", "prompt": "word " * 400_000, "max_tokens": 1}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    for _ in range(60):
        with connect(server) as client:
            client.sendall(head + body)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    began = time.monotonic()
    assert post(server, "/v1/completions", {"model": "default", "prompt": "Hi", "max_tokens": 1})[0] == 200
    assert time.monotonic() - began < 3, "who stays does not wait for those who left"


def many_references(server):
    """8,000 references to one stored item of 24 KB."""
    large = {"role": "user", "content": "word " * 4_800}
    first = {"model": "default", "max_output_tokens": 16, "truncation": "auto",
             "input": [large, {"role": "user", "content": "Hi"}]}
    status, answer = post(server, "/v1/responses", first)
    assert status == 200, answer
    listed = json.loads(server.get(f"/v1/responses/{answer['id']}/input_items")[2])["data"]
    item = max(listed, key=lambda one: len(json.dumps(one)))
    began = time.monotonic()
    references = [{"type": "item_reference", "id": item["id"]}] * 8_000
    status, answer = post(server, "/v1/responses", {"model": "default", "input": references})
    assert status == 400 and "item references" in answer["error"]["message"], (status, answer)
    assert time.monotonic() - began < 5


def long_chats(server):
    """Chats of 27 MiB each, four at a time."""
    message = {"role": "user", "content": "word " * (27 * MIB // 5)}
    body = json.dumps({"model": "default", "messages": [message]}).encode()

    def ask(_):
        return server.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for status, _, answer in pool.map(ask, range(8)):
            assert status == 400 and b"context_length_exceeded" in answer, (status, answer[:300])


def cpu_s(server):
    fields = open(f"/proc/{server.process.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def parts_of_tls_records(server):
    """Connections that send three bytes, the head of a record, or a greeting without its end, and wait.

    The attacked server is watched as always; a second one, which has nothing else to do, tells how its I/O thread
    spends the time meanwhile.
    """
    parts = [b"\x16\x03\x01", b"\x16\x03\x01\x02\x00", b"\x16\x03\x01\x02\x00\x01" + bytes(200), b"\x16"]
    with contextlib.ExitStack() as stack:
        certificate = make_certificate(stack.enter_context(tempfile.TemporaryDirectory()))
        idle = stack.enter_context(Program("--context", 256, certificate=certificate))
        waiting = []
        for part in parts * 8:
            for target in (server, idle):
                client = connect(target)
                client.sendall(part)
                waiting.append(client)
        half = [greeted(target) for target in (server, idle)]
        for client in half:
            client.sendall(b"\x17\x03\x03")  # within a session that stands
        before = cpu_s(idle)
        time.sleep(3)
        spent = cpu_s(idle) - before
        assert spent < 0.3, f"{spent:.2f} s of processor time for clients who send nothing"
        for client in waiting + half:
            client.close()
        began = time.monotonic()
        assert idle.stop() == 0
        assert time.monotonic() - began < 5, "nor do they hold up the end"


def greeted(server):
    """Returns the bare socket of a TLS session that is set up."""
    ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = server.context.wrap_bio(theirs, ours, server_hostname="localhost")
    client = connect(server)
    while True:
        try:
            session.do_handshake()
            break
        except ssl.SSLWantReadError:
            client.sendall(ours.read())
            theirs.write(client.recv(65536))
    client.sendall(ours.read())
    return client


def full_queues(server):
    """Hundreds of clients at once, for whom the queue has no places; half of their prompts take long to tokenise."""
    prompts = [{"prompt": "word " * 1_500, "max_tokens": 4}, {"prompt": "Hi", "max_tokens": 40, "ignore_eos": True}]
    requests = []
    for fields in prompts:
        body = json.dumps({"model": "default"} | fields).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(body)}"
        requests.append(head.encode() + b"\r\n\r\n" + body)
    for _ in range(3):
        clients = [connect(server) for _ in range(900)]
        for number, client in enumerate(clients):
            client.sendall(requests[number % 2])
        statuses = []
        for client in clients:
            answer = http.client.HTTPResponse(client)
            answer.begin()
            statuses.append(answer.status)
            assert answer.status in (200, 503), (answer.status, answer.read()[:200])
            assert answer.status == 200 or int(answer.getheader("retry-after")) >= 1, "it is told when to come again"
            answer.close()
            client.close()
        assert 503 in statuses, "no queue was full"
        assert 200 in statuses, "nobody was let in"


ATTACKS = [
    Attack("endless chunk extension", endless_framing(b"1;a=", b"x" * 1024)),
    Attack("many chunk extensions", endless_framing(b"", b"1;a=" + b"x" * 1000 + b"\r\na\r\n")),
    Attack("endless trailers", endless_framing(b"0\r\n", b"t: " + b"x" * 1019 + b"\r\n")),
    Attack("refused clients who stay", refused_who_stay),
    Attack("clients who leave while queued", leave_while_queued),
    Attack("long chats", long_chats),
    Attack("many references to an item", many_references),
    Attack("parts of TLS records", parts_of_tls_records, tls=True),
    Attack("full queues", full_queues, flags=("--max-rows", "2", "--max-queue", "4"), refuses=True),
]
