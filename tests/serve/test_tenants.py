"""What one key's holder can time or read of another: each row of that table in docs/access.md, and no more.

A row without a test here fails, and so does a test whose row is gone.
"""

import contextlib
import json
import re
import threading
import time
from pathlib import Path

import pytest

from program import Program, wait_until
from test_access import bearer, chat, make_key

PAGE = Path(__file__).resolve().parents[2] / "docs" / "access.md"
CHAT = "/v1/chat/completions"
TESTED = {}


def row(what):
    """Marks the test of a row by the row's first column."""

    def mark(test):
        assert what not in TESTED, what
        TESTED[what] = test
        return test

    return mark


def rows_of_the_page():
    table = PAGE.read_text().split("can learn of others, or take from them, all the same")[1].split("\n\n")[1]
    return [line.split("|")[1].strip() for line in table.splitlines()[2:]]


def test_every_row_has_a_test():
    rows = rows_of_the_page()
    assert len(rows) >= 5 and set(rows) == TESTED.keys()


class Tenants(Program):
    """A server with the keys of two tenants, "ann" and "bob", of its administrator, and of others of the test's."""

    def __init__(self, folder, *flags, others=(), **more):
        self.file = folder / "keys.db"
        made = [("ann",), ("bob",), ("boss", "--role", "administer"), *others]
        self.keys = {name: make_key(self.file, name, *limits) for name, *limits in made}
        super().__init__("--keys", self.file, *flags, **more)

    def ask(self, name, method, path, body=None, **headers):
        """Returns (status, answer)."""
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        status, _, answer = self.request(method, path, sent, bearer(self.keys[name]) | headers)
        return status, json.loads(answer) if answer[:1] in (b"{", b"[") else answer.decode()

    def status(self, name):
        return self.ask(name, "GET", "/v1/status")[1]

    @contextlib.contextmanager
    def answering(self, name, request_id, content="Tell me of herons.", **fields):
        """An answer that is being given, or waits, until the end of the block."""
        body = chat(content, max_tokens=1500, ignore_eos=True, **fields)
        asking = threading.Thread(target=self.ask, args=(name, "POST", CHAT, body),
                                  kwargs={"x-request-id": request_id})
        asking.start()
        try:
            wait_until(lambda: request_id in json.dumps(self.status("boss")["requests"]), 30, "it is known")
            yield asking
        finally:
            self.ask("boss", "POST", f"/v1/requests/{request_id}/cancel", b"")
            asking.join(60)


def value_of(metrics, name):
    return sum(float(value) for value in re.findall(rf"^{re.escape(name)}\{{[^}}]*\}} (\S+)$", metrics, re.MULTILINE))


@row("how busy the server is")
def test_totals_are_told_and_time_tells_but_whose_they_are_is_not(tmp_path):
    with Tenants(tmp_path, "--context", 2048) as server:

        def totals():
            status, metrics = server.ask("bob", "GET", "/metrics")
            assert status == 200
            told = server.status("bob")
            assert told["requests"] == [], "another's requests are not told"
            text = metrics + json.dumps(told)
            for secret in (server.keys["ann"]["id"], "ann", "anns-request", "heron"):
                assert not re.search(rf"\b{secret}", text), secret
            running = value_of(metrics, "vllm:num_requests_running")
            return running, value_of(metrics, "vllm:generation_tokens_total"), told["models"][0]["running"]

        def took_s():
            began = time.monotonic()
            assert server.ask("bob", "POST", CHAT, chat(max_tokens=16, ignore_eos=True))[0] == 200
            return time.monotonic() - began

        took_s()
        alone_s = min(took_s() for _ in range(5))
        assert totals()[::2] == (0, 0)
        tokens = totals()[1]
        with contextlib.ExitStack() as busy:
            for i in range(12):
                busy.enter_context(server.answering("ann", f"anns-request-{i}", f"Tell me of heron {i}."))
            wait_until(lambda: totals()[::2] == (12, 12), 30, "twelve are running")
            beside_s = min(took_s() for _ in range(3))
        assert totals()[1] > tokens + 12
        assert beside_s > alone_s, "the table says that it can be timed"


@row("that others have filled the cache")
def test_ones_own_prompt_is_computed_again_and_anothers_is_not_found(tmp_path):
    with Tenants(tmp_path, "--context", 512, "--kv-memory", "24MiB") as server:

        def cached(name, prompt):
            body = {"model": "default", "prompt": prompt, "max_tokens": 1}
            status, answer = server.ask(name, "POST", "/v1/completions", body)
            assert status == 200, answer
            return answer["usage"]["prompt_tokens_details"]["cached_tokens"]

        mine = "The heron stands in the shallow water and waits. " * 20
        assert cached("bob", mine) == 0
        assert cached("bob", mine) > 150
        assert cached("ann", mine) == 0, "what bob has asked is not in ann's cache"
        for i in range(6):
            cached("ann", f"{i} " + f"Line {i} of a long text of ann's own. " * 30)
        assert cached("bob", mine) == 0, "the table says that it is gone"


@row("which models others use")
def test_a_models_state_is_told_to_those_who_may_use_it(tmp_path, model_file):
    heron = tmp_path / "heron.gguf"
    heron.symlink_to(model_file)
    other = model_file.name.removesuffix(".gguf")
    carl = ("carl", "--models", other)
    flags = ("--models-on-demand", "--context", 512, "--kv-memory", "24MB", "--max-rows", 8)
    with Tenants(tmp_path, heron, *flags, others=[carl]) as server:

        def state(name):
            models = server.ask(name, "GET", "/v1/models")[1]["data"]
            return {model["id"]: model["status"]["value"] for model in models}.get("heron")

        def runs(name):
            return "heron" in json.dumps(server.ask(name, "GET", "/api/ps")[1])

        assert server.ask("boss", "POST", "/models/unload", {"model": "heron"})[0] == 200
        wait_until(lambda: state("bob") == "unloaded" and not runs("bob"), 30, "nobody uses it")
        assert server.ask("ann", "POST", CHAT, chat(model="heron"))[0] == 200
        assert state("bob") == "loaded" and runs("bob")
        for path in ("/v1/models", "/models", "/api/tags", "/api/ps", "/v1/status", "/metrics"):
            assert "heron" in json.dumps(server.ask("bob", "GET", path)[1]), path
            status, answer = server.ask("carl", "GET", path)
            assert status == 200 and "heron" not in json.dumps(answer), path
        assert server.ask("carl", "GET", "/props?model=heron")[0] == 404
        hidden, absent = (server.ask("carl", "POST", CHAT, chat(model=name)) for name in ("heron", "none"))
        assert hidden[0] == absent[0] == 404 and hidden[1]["error"]["code"] == absent[1]["error"]["code"]


@row("places in the queue")
def test_the_queue_is_in_the_order_of_coming_and_a_key_has_so_many_places(tmp_path):
    with Tenants(tmp_path, "--context", 2048, "--max-rows", 1, others=[("carl", "--concurrent", 1)]) as server:

        def place():
            (mine,) = server.status("bob")["requests"]
            return mine["sequences"] and mine["sequences"][0]["queue_position"]

        ended = []

        def ask_short(name, words):
            assert server.ask(name, "POST", CHAT, chat(words, max_tokens=24, ignore_eos=True))[0] == 200
            ended.append(name)

        def waiting():
            return server.status("bob")["models"][0]["waiting"]

        shorts = []
        with server.answering("ann", "the-long-one"):
            for name, words in (("ann", "One"), ("ann", "Two"), ("bob", "Three")):
                before = waiting()
                shorts.append(threading.Thread(target=ask_short, args=(name, words)))
                shorts[-1].start()
                wait_until(lambda: waiting() == before + 1, 30, "it waits")
            assert place() == 3, "bob learns how many were before him"
        for thread in shorts:
            thread.join(60)
        assert ended == ["ann", "ann", "bob"]

        with server.answering("carl", "carls-only-one"):
            status, answer = server.ask("carl", "POST", CHAT, chat())
            assert status == 429, answer
            with server.answering("bob", "bobs"):
                wait_until(lambda: place() == 1, 30, "nobody of carl's stands before him")


@row("room in the stores")
def test_who_keeps_most_loses_first(tmp_path):
    flags = ("--context", 2048, "--responses", tmp_path / "responses.db", "--responses-max", 20,
             "--batches", tmp_path / "batches.db")
    with Tenants(tmp_path, *flags) as server:

        def keep(name):
            body = {"model": "default", "input": "Hi.", "max_output_tokens": 16}
            status, answer = server.ask(name, "POST", "/v1/responses", body)
            assert status == 200, answer
            return answer["id"]

        def kept(name, ids):
            return [server.ask(name, "GET", f"/v1/responses/{id_}")[0] == 200 for id_ in ids]

        first = [keep("ann") for _ in range(22)]
        assert sum(kept("ann", first)) == 20, "one key alone may have all"
        mine = [keep("bob") for _ in range(8)]
        assert all(kept("bob", mine)) and sum(kept("ann", first)) == 12, "ann loses what is beyond her share"
        later = [keep("ann") for _ in range(15)]
        assert all(kept("bob", mine)), "bob loses nothing of his"
        assert sum(kept("ann", first + later)) == 12 and kept("ann", later[-12:]) == [True] * 12

        params = {"model": "default", "max_tokens": 1900, "messages": [{"role": "user", "content": "Count."}]}

        def batch(name):
            entry = {"custom_id": "one", "params": params}
            return server.ask(name, "POST", "/v1/messages/batches", {"requests": [entry]})

        made = 0  # of 1,000 that the store holds; some end meanwhile
        while (answered := batch("ann"))[0] == 200 and made < 800:
            made += 1
        status, answer = answered
        assert made >= 500 and status == 413 and "not ended" in answer["error"]["message"], (made, answer)
        assert batch("bob")[0] == 200, "the other half is not ann's"


@pytest.fixture(autouse=True)
def needs_the_model(model_file):
    """Without the model there is nothing to ask."""
