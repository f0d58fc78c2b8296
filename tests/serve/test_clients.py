"""What real clients send, as tests/clients recorded it: nothing is refused, misread or computed twice."""

import json

import pytest

import answers
import replay
from program import Program

READ = ("system", "instructions", "tools", "messages", "input")  # what the model is to see
CHARS_PER_TOKEN = 8  # filler has about five


@pytest.fixture(scope="module")
def server():
    # The bodies go as they are, with the client's own limits; what is said does not matter here.
    with Program("--context", 8192, "--max-output-tokens", 16) as running:
        yield running


def _without_marks(value):
    """Cache marks move from turn to turn."""
    if isinstance(value, dict):
        return {name: _without_marks(item) for name, item in value.items() if name != "cache_control"}
    return [_without_marks(item) for item in value] if isinstance(value, list) else value


def _goes_on(body, earlier):
    """Whether a request repeats an earlier one's whole history, after the same tools."""
    body, earlier = _without_marks(body), _without_marks(earlier)
    history = "input" if "input" in earlier else "messages"
    same = body.get("tools") == earlier.get("tools") and body.get("instructions") == earlier.get("instructions")
    length = len(earlier.get(history, []))
    return same and 0 < length < len(body.get(history, [])) and body[history][:length] == earlier[history]


def _text_chars(body):
    return sum(len(text) for text in _texts([body.get(name) for name in READ]))


def _texts(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


@pytest.mark.parametrize("name", replay.names())
def test_what_a_client_sends_is_answered(server, name):
    done = []  # (body, prompt tokens)
    for exchange in replay.Transcript(name, scale=0.04).exchanges():
        path, body = exchange["path"], exchange.get("body")
        sent = json.dumps(body).encode() if body is not None else None
        headers = exchange["headers"] | {"Authorization": "Bearer none"}
        status, got, answer = server.request(exchange["method"], path, sent, headers, timeout_s=170)
        answer = answer.decode()
        assert status == exchange["status"], answer
        if status != 200 or body is None:
            continue
        assert answers.is_stream(got) == exchange["streamed"]
        assert answers.fault(path, answer, exchange["streamed"]) is None
        assert answers.warnings(answer) == exchange["warnings"]
        if exchange["streamed"] and path.endswith("/chat/completions") and "stream_options" not in body:
            continue  # tells no usage
        prompt, cached = answers.usage(path, answer, exchange["streamed"])
        assert prompt > _text_chars(body) / CHARS_PER_TOKEN, "every text is read"
        before = [tokens for earlier, tokens in done if _goes_on(body, earlier)]
        if before:
            assert cached > 0.9 * max(before) - 32, "what went before is not computed again"
        done.append((body, prompt))
