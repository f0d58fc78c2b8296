"""Every way that was found to end or lame the server from outside, tried beside another client's running stream.

After each attack the process lives, its memory is back, /health was answered in time throughout, and the other
client's stream never paused for long. The attacks themselves are in attacks/.
"""

import http.client
import json
import shutil
import threading
import time

import pytest

from attacks import all_attacks
from gguf_edit import edited
from program import Program, make_certificate, wait_until
from test_access import bearer, make_key

MEMORY_BACK_BYTES = 50 << 20
MEMORY_BACK_S = 30
JSON = {"content-type": "application/json"}
ATTACKS = all_attacks()


class HealthWatch(threading.Thread):
    """Asks /health again and again on fresh connections; keeps the slowest answer."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.slowest_s, self.ended, self.failure = server, 0.0, threading.Event(), None

    def run(self):
        while not self.ended.wait(0.02):
            began = time.monotonic()
            try:
                status = self.server.get("/health")[0]
            except OSError as error:
                status = repr(error)
            if status != 200:
                self.failure = f"/health: {status}"
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)


class StreamWatch(threading.Thread):
    """Another client that streams answer after answer; keeps the longest pause within one."""

    def __init__(self, server, may_be_refused):
        super().__init__(daemon=True)
        self.server, self.may_be_refused, self.longest_s, self.failure = server, may_be_refused, 0.0, None
        self.ended, self.streams = threading.Event(), threading.Event()

    def run(self):
        try:
            while not self.ended.is_set():
                self.one_answer()
        except (OSError, AssertionError, http.client.HTTPException) as error:
            self.failure = f"the other client: {error!r}"
        self.streams.set()

    def one_answer(self):
        body = {"model": "default", "stream": True, "ignore_eos": True, "max_tokens": 400, "prompt": "Once upon a time"}
        connection = self.server.http_connection()
        try:
            connection.request("POST", "/v1/completions", json.dumps(body), JSON | self.server.headers)
            answer = connection.getresponse()
            if answer.status == 503 and self.may_be_refused:
                self.ended.wait(0.05)
                return
            assert answer.status == 200, answer.read()
            last = None
            while line := answer.readline():
                now = time.monotonic()
                if last is not None:
                    self.longest_s = max(self.longest_s, now - last)
                last = now
                if b"data: [DONE]" in line or self.ended.is_set():
                    break
                self.streams.set()
        finally:
            connection.close()


def resident_bytes(server):
    for line in open(f"/proc/{server.process.pid}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    return 0


def fill_caches(server):
    """Asks different long prompts until each page of the KV cache has been touched."""
    body = {"model": "default", "ignore_eos": True, "max_tokens": 8, "n": 1}
    for i in range(24):
        if server.engine()["blocks_free"] == 0:
            return
        prompt = f"{i} " + "word " * 1800
        assert server.request("POST", "/v1/completions", json.dumps(body | {"prompt": prompt}).encode(), JSON)[2]


@pytest.fixture(scope="module")
def servers(model_file, tmp_path_factory):
    """Returns a function that gives a warm server for an attack; one lives at a time."""
    running = {}

    def of(attack):
        if attack.server() not in running:
            for old in running.values():
                old.__exit__(None)
            running.clear()
            flags, more, model = attack.flags, {}, model_file
            if attack.template:
                copy = tmp_path_factory.mktemp("model") / "m.gguf"
                model = edited(model_file, copy, {"tokenizer.chat_template": attack.template})
            if attack.keyed:
                file = tmp_path_factory.mktemp("keys") / "keys.db"
                more["headers"], flags = bearer(make_key(file, "watcher")), (*flags, "--keys", file)
            if attack.tls:
                more["certificate"] = make_certificate(tmp_path_factory.mktemp("tls"))
            flags = ("--context", 2048, "--kv-memory", "96MiB", *flags)
            new = Program(*flags, model=model, environment=dict(attack.environment), **more)
            new.__enter__()
            running[attack.server()] = new
            fill_caches(new)
        return running[attack.server()]

    yield of
    for old in running.values():
        old.__exit__(None)


@pytest.mark.skipif(not ATTACKS, reason="no attacks")
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack(servers, attack):
    if attack.tls and shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate")
    server = servers(attack)
    health, stream = HealthWatch(server), StreamWatch(server, attack.refuses)
    health.start()
    stream.start()
    try:
        assert stream.streams.wait(30) and not stream.failure, stream.failure
        before = resident_bytes(server)
        attack.run(server)
        assert server.process.poll() is None, f"the process ended\n{server.log_text()[-2000:]}"
        wait_until(lambda: resident_bytes(server) < before + MEMORY_BACK_BYTES, MEMORY_BACK_S, "memory is back")
    finally:
        health.ended.set()
        stream.ended.set()
        health.join(60)
        stream.join(60)
    assert not health.failure and not stream.failure, (health.failure, stream.failure)
    assert health.slowest_s <= attack.health_s, f"/health took {health.slowest_s:.2f} s"
    assert stream.longest_s <= attack.pause_s, f"another client's stream paused for {stream.longest_s:.2f} s"
    wait_until(server.is_idle, 20, "no blocks are left behind")
