"""Malformed chat requests by a seeded fuzzer: each is a 4xx in OpenAI's form, naming the field; memory stays flat.

PIPPIN_FUZZ_REQUESTS   how many; 10000 for the long form
"""

import copy
import http.client
import json
import os
import random

import pytest

import program

COUNT = int(os.environ.get("PIPPIN_FUZZ_REQUESTS", "1000"))
SEED = 20251121
GROWTH_MAX_KB = 24 << 10

PARAMETERS = {"type": "object", "properties": {"x": {"type": "integer"}}}
FUNCTION = {"name": "f", "description": "d", "parameters": PARAMETERS, "strict": False}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
VALID = {
    "model": "default",
    "messages": [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}], "name": "n"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c", "content": "1"},
    ],
    "tools": [{"type": "function", "function": FUNCTION}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "parallel_tool_calls": True,
    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}},
    "temperature": 1,
    "top_p": 1,
    "top_k": 5,
    "min_p": 0.1,
    "n": 1,
    "seed": 1,
    "max_tokens": 1,
    "max_completion_tokens": 1,
    "min_tokens": 0,
    "stop": ["x"],
    "stop_token_ids": [1],
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "repetition_penalty": 1,
    "logit_bias": {"1": 1},
    "logprobs": True,
    "top_logprobs": 1,
    "stream": True,
    "stream_options": {"include_usage": True},
    "reasoning_effort": "low",
    "thinking_budget": 5,
    "thinking": {"type": "enabled"},
    "reasoning": {"effort": "low"},
    "chat_template_kwargs": {"a": 1},
    "service_tier": "auto",
    "metadata": {"a": "b"},
    "timeout": 60,
    "priority": 0,
    "cache_salt": "s",
    "ignore_eos": False,
    "allowed_tokens": [1],
    "dry_sequence_breakers": ["a"],
    "user": "u",
    "store": False,
}
# Values that no field takes: wrong types, wrong ranges, deep and strange things.
BAD = [
    *(-(10**9), 1e300, 2**63, -1.5, "\u0000", "x" * 70, [[[]]], [None], [{"a": None}]),
    *({"a": {"b": []}}, {"type": "nope"}, True, "nope", {"": 1}, ["", 1]),
]
# Bodies that are no object, or name no model that is here.
BODIES = [b"", b"null", b"[]", b"1", b'"x"', b"\xff\xfe", b"{" * 500, b"[" * 100000, b'{"model": 5}']
RUBBISH = ["", "\x00", "}", "]]", '"', "nul", "\\u12"]


def paths(value, path=()):
    """Every place in a JSON value but the root."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from paths(item, (*path, key))


def put(value, path, new):
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = new


def malformed(random_source):
    """A body with one wrong value, or one that is no JSON object."""
    if random_source.random() < 0.1:
        text = json.dumps(VALID)
        cut = random_source.randrange(len(text))
        return (text[:cut] + random_source.choice(RUBBISH) + text[cut + 1 + random_source.randrange(9) :]).encode()
    if random_source.random() < 0.03:
        return random_source.choice(BODIES)
    body = copy.deepcopy(VALID)
    for key in list(body):
        if key not in ("model", "messages") and random_source.random() < 0.7:
            del body[key]
    body["max_tokens"] = 1
    for _ in range(random_source.randint(1, 2)):
        put(body, random_source.choice(list(paths(body))), copy.deepcopy(random_source.choice(BAD)))
    return json.dumps(body).encode()


def resident_kb(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(next(line.split()[1] for line in status if line.startswith("VmRSS")))


@pytest.fixture(scope="module")
def server():
    if program.model_path() is None or not program.model_path().exists():
        pytest.skip("no model: PIPPIN_TEST_MODEL names none that exists")
    # A small cache is soon touched from end to end, so that what grows behind is no KV.
    with program.Program("--context", 1024, "--kv-memory", "32MiB") as running:
        yield running


def test_malformed_requests_are_named(server):
    source = random.Random(SEED)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    refused = answered = named = 0
    before = None
    for i in range(COUNT):
        if i == COUNT // 4:
            before = resident_kb(server.process.pid)
        body = malformed(source)
        connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
        if response.status == 200:
            answered += 1  # the wrong value stood where anything may
            continue
        assert 400 <= response.status < 500, (response.status, body, text)
        error = json.loads(text)["error"]
        assert set(error) == {"message", "type", "param", "code"}, text
        assert error["message"] and error["type"] == "invalid_request_error", text
        refused += 1
        if error["param"] is not None:
            named += 1
        elif "logit_bias" not in error["message"]:  # fields that exclude each other are named in the words
            assert error["code"] in ("invalid_json", "request_too_large"), (body, text)
    connection.close()
    assert refused > COUNT // 2 and named > COUNT // 2, (refused, named, answered)
    assert resident_kb(server.process.pid) - before < GROWTH_MAX_KB
    assert server.engine()["running"] == 0


if __name__ == "__main__":
    pytest.main([__file__])
