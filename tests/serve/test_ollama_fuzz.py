"""Malformed requests in Ollama's and llama-server's form by a seeded fuzzer: each is a 4xx in its API's form.

PIPPIN_FUZZ_REQUESTS   how many for each route; 10000 for the long form
"""

import http.client
import json
import os
import random

import pytest

import program
from fuzzing import GROWTH_MAX_KB, broken, resident_kb

COUNT = int(os.environ.get("PIPPIN_FUZZ_REQUESTS", "400"))
SEED = 20261121

CALL = {"function": {"name": "f", "arguments": {"x": 1}}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
OPTIONS = {
    "num_predict": 1,
    "temperature": 1,
    "top_k": 3,
    "top_p": 0.9,
    "min_p": 0.1,
    "repeat_penalty": 1.1,
    "repeat_last_n": 5,
    "mirostat": 0,
    "seed": 1,
    "stop": ["x"],
    "num_ctx": 64,
}
COMMON = {"model": "default", "stream": True, "think": False, "format": "json", "keep_alive": "5m", "options": OPTIONS}
MESSAGES = [
    {"role": "system", "content": "s"},
    {"role": "user", "content": "u", "images": []},
    {"role": "assistant", "content": "", "thinking": "t", "tool_calls": [CALL]},
    {"role": "tool", "tool_name": "f", "content": "1"},
]
VALID = {
    "/api/chat": COMMON | {"messages": MESSAGES, "tools": [TOOL], "logprobs": True, "top_logprobs": 1},
    "/api/generate": COMMON | {"prompt": "p", "system": "s", "template": "{{ .Prompt }}", "context": [1], "raw": False},
    "/api/create": {
        "model": "made",
        "from": "default",
        "system": "s",
        "template": "{{ .Prompt }}",
        "parameters": {"num_predict": 1, "stop": ["a"]},
        "messages": MESSAGES[:2],
        "modelfile": "FROM default\nPARAMETER top_k 3\n",
        "license": ["l"],
        "stream": False,
    },
    "/api/show": {"model": "default", "verbose": True},
    "/api/copy": {"source": "default", "destination": "copied"},
    "/completion": {
        "prompt": [1, "a"],
        "n_predict": 1,
        "temperature": 1,
        "repeat_penalty": 1.1,
        "samplers": ["top_k"],
        "logit_bias": [[1, 1.5], ["a", False]],
        "n_probs": 1,
        "stop": ["x"],
        "response_fields": ["content"],
        "json_schema": {"type": "object"},
        "cache_prompt": True,
        "stream": True,
    },
    "/infill": {
        "input_prefix": "a",
        "input_suffix": "b",
        "input_extra": [{"filename": "f", "text": "t"}],
        "n_predict": 1,
    },
    "/tokenize": {"content": "c", "add_special": True, "with_pieces": True},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if program.model_path() is None or not program.model_path().exists():
        pytest.skip("no model: PIPPIN_TEST_MODEL names none that exists")
    folder = tmp_path_factory.mktemp("ollama")
    flags = ("--context", 1024, "--kv-memory", "32MiB", "--ollama-folder", folder, "--max-output-tokens", 4)
    with program.Program(*flags) as running:
        yield running


@pytest.mark.parametrize("path", VALID)
def test_malformed_requests_are_refused_in_their_form(server, path):
    source = random.Random(SEED)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    refused = 0
    before = None
    for i in range(COUNT):
        if i == COUNT // 4:
            before = resident_kb(server.process.pid)
        body = broken(source, VALID[path])
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
        if response.status == 200:
            continue  # the wrong value stood where anything may
        assert 400 <= response.status < 500, (response.status, body, text)
        error = json.loads(text)["error"]
        if path.startswith("/api/"):
            assert isinstance(error, str) and error, text
        else:
            assert set(error) == {"message", "type", "param", "code"} and error["message"], text
        refused += 1
    connection.close()
    assert refused > COUNT // 8, refused
    assert resident_kb(server.process.pid) - before < GROWTH_MAX_KB
    assert server.engine()["running"] == 0
