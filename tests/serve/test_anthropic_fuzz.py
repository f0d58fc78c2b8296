"""Malformed requests to /v1/messages by a seeded fuzzer: each is a 4xx in Anthropic's form, naming the field."""

import http.client
import json
import os
import random

from fuzzing import broken
from program import wait_until

COUNT = int(os.environ.get("PIPPIN_FUZZ_REQUESTS", "1000"))
SEED = 20251121

MARK = {"type": "ephemeral"}
CALL = {"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1}}
RESULT = {"type": "tool_result", "tool_use_id": "t", "is_error": True, "content": [{"type": "text", "text": "1"}]}
DOCUMENT = {"type": "document", "title": "t", "source": {"type": "text", "media_type": "text/plain", "data": "d"}}
VALID = {
    "model": "default",
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": MARK}, DOCUMENT]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "a", "signature": "b"}, CALL]},
        {"role": "user", "content": [RESULT, {"type": "text", "text": "So?"}]},
        {"role": "system", "content": "Be short."},
    ],
    "max_tokens": 1,
    "system": [{"type": "text", "text": "Be short.", "cache_control": MARK}],
    "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": False}],
    "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
    "thinking": {"type": "adaptive", "display": "omitted"},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
    "stop_sequences": ["x"],
    "temperature": 1,
    "top_p": 1,
    "top_k": 5,
    "metadata": {"user_id": "u"},
    "service_tier": "auto",
    "context_management": {"edits": []},
    "stream": True,
}


def test_malformed_requests_are_named(server):
    source = random.Random(SEED)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    refused = 0
    for _ in range(COUNT):
        body = broken(source, VALID, {"model", "messages", "max_tokens"})
        connection.request("POST", "/v1/messages", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
        if response.status == 200:
            continue  # the wrong value stood where anything may
        assert 400 <= response.status < 500, (response.status, body, text)
        answer = json.loads(text)
        assert answer["type"] == "error" and answer["request_id"] == response.getheader("request-id"), text
        error = answer["error"]
        assert error["type"] in ("invalid_request_error", "not_found_error", "request_too_large"), text
        assert any(mark in error["message"] for mark in ("'", "`", ":", "JSON")), (body, text)
        refused += 1
    connection.close()
    assert refused > COUNT // 3, refused
    wait_until(server.is_idle, 20, "nothing is left running")
