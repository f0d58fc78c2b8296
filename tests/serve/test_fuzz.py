"""Malformed requests to every route by a seeded fuzzer: each is a 4xx in OpenAI's form, naming the field; memory stays
flat.

PIPPIN_FUZZ_REQUESTS   how many; 10000 for the long form
"""

import http.client
import json
import os
import random
import time
import urllib.parse

import pytest

import program
from fuzz_bodies import FOREIGN_ROUTES, NO_BODY, OUR_ROUTES, PATHS, VALID
from fuzzing import GROWTH_MAX_KB, broken, resident_kb
from test_openapi import DOCUMENT

COUNT = int(os.environ.get("PIPPIN_FUZZ_REQUESTS", "1500"))
SEED = 20251121

# What stands in an address: an id, or the value of a field behind the "?".
STRANGE = ["", "nope", "-1", "0", "9" * 20, "%00", "%ff", "%zz", "a%20b", "x" * 3000, "..", "é", "true", "[]"]
# What keeps an answer short, by route.
SHORT = {"/v1/responses": "max_output_tokens"}


def malformed_body(source, path):
    valid = VALID[path]
    short = {SHORT.get(path, "max_tokens"): 1} if "model" in valid else {}
    return broken(source, valid, {"model", "messages", "prompt", "input", "tokens"}, short)


def malformed_address(source):
    """(method, path) of a route that takes its fields from the address, with strange ones."""
    method, path, fields = source.choice(PATHS)
    path = path.replace("{id}", source.choice(STRANGE))
    query = "&".join(f"{name}={source.choice(STRANGE)}" for name in fields if source.random() < 0.6)
    address = urllib.parse.quote(path + ("?" + query if query else ""), safe="/?&=%[].")
    return method, address


class Judge:
    """Counts answers, and fails on one that is not as it should be."""

    def __init__(self, names):
        self.names = names  # whether a refusal must name a field
        self.answered = self.refused = self.named = 0

    def take(self, sent, status, text):
        if status == 200:
            self.answered += 1  # the wrong value stood where anything may
            return
        assert 400 <= status < 500, (status, sent, text)
        error = json.loads(text)["error"]
        assert set(error) == {"message", "type", "param", "code"}, (sent, text)
        assert error["message"] and error["type"] == "invalid_request_error", (sent, text)
        self.refused += 1
        if error["param"] is not None:
            self.named += 1
        elif self.names and "logit_bias" not in error["message"]:  # which of two excludes the other is told in words
            assert error["code"] in ("invalid_json", "request_too_large"), (sent, text)


@pytest.fixture(scope="module")
def server(model_file, tmp_path_factory):
    # A small cache is soon touched from end to end, so that what grows behind is no KV; kept responses go to a file.
    kept = tmp_path_factory.mktemp("fuzz") / "responses.db"
    with program.Program("--context", 1024, "--kv-memory", "32MiB", "--responses", kept, model=model_file) as running:
        yield running


def test_every_route_is_fuzzed():
    described = {
        (method.upper(), path)
        for path, methods in DOCUMENT["paths"].items()
        for method in methods
        if path.startswith(OUR_ROUTES) and not path.startswith(FOREIGN_ROUTES)
    }
    fuzzed = {("POST", path) for path in VALID} | {(method, path) for method, path, _ in PATHS} | NO_BODY
    assert described == fuzzed


@pytest.mark.timeout(60 + COUNT)
def test_malformed_requests_are_named(server):
    source = random.Random(SEED)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    by_body, by_address = Judge(True), Judge(False)
    before = None
    begin = time.monotonic()
    for i in range(COUNT):
        if i == COUNT // 4:
            before = resident_kb(server.process.pid)
        if source.random() < 0.15:
            method, path = malformed_address(source)
            body, judge = None, by_address
        else:
            method, path = "POST", source.choice(list(VALID))
            body, judge = malformed_body(source, path), by_body
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        response = connection.getresponse()
        judge.take((method, path, body), response.status, response.read())
    connection.close()
    grown = resident_kb(server.process.pid) - before
    counts = f"{by_body.refused} bodies refused, {by_body.named} naming a field, {by_body.answered} answered; "
    counts += f"{by_address.refused} addresses refused, {by_address.answered} answered; "
    print(f"{counts}grown by {grown} KiB; {time.monotonic() - begin:.0f} s")
    assert by_body.refused > COUNT // 2 and by_body.named > COUNT // 2, counts
    assert by_address.refused > COUNT // 20, counts
    assert grown < GROWTH_MAX_KB, counts
    program.wait_until(server.is_idle, 30, "nothing is left running")


if __name__ == "__main__":
    pytest.main([__file__])
