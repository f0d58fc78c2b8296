"""GET /v1/status, cancellation by id, and the limits that a person sets."""

import json
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from program import Program, wait_until

ENDLESS = {"extra_body": {"ignore_eos": True}, "max_tokens": 1500}
QUESTION = [{"role": "user", "content": "Tell a long tale of the sea."}]


def status_of(server):
    return json.loads(server.get("/v1/status")[2])


def requests_of(server):
    return status_of(server)["requests"]


def client_of(server):
    return openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, timeout=120)


def start_stream(client, request_id, **options):
    """Returns a stream whose first chunk has come."""
    stream = client.chat.completions.create(
        model="default", messages=QUESTION, stream=True, extra_headers={"x-request-id": request_id}, **ENDLESS | options
    )
    next(iter(stream))
    return stream


def chat_text(client, text, **options):
    return client.chat.completions.create(
        model="default", messages=[{"role": "user", "content": text}], **{"max_tokens": 8} | options
    )


# --- What is shown ---


def test_a_running_request_is_shown(server, client, model):
    wait_until(server.is_idle, 10, "idle before the test")
    with start_stream(client, "shown-1", n=2) as stream:
        answer_id = next(iter(stream)).id
        shown = wait_until(
            lambda: next((r for r in requests_of(server) if [s for s in r["sequences"] if s["blocks"] > 0][1:]), None),
            20,
            "both choices run",
        )
        assert shown["state"] == "decode"
        assert (shown["id"], shown["answer_id"], shown["model"]) == ("shown-1", answer_id, model)
        assert shown["age_s"] >= 0 and shown["choices"] == 2
        for sequence in shown["sequences"]:
            assert sequence["prompt_tokens"] == shown["prompt_tokens"] > 10
            assert sequence["max_tokens"] == ENDLESS["max_tokens"]
            assert sequence["queue_position"] is None
        later = wait_until(
            lambda: next((r for r in requests_of(server) if r["generated_tokens"] > shown["generated_tokens"]), None),
            20,
            "more tokens",
        )
        assert later["sequences"][0]["tokens_per_second"] > 0
    wait_until(lambda: not requests_of(server), 10, "a client that left is not shown")


def test_the_status_tells_memory_and_limits(server):
    status = status_of(server)
    shown = status["models"][0]
    memory, limits = shown["memory"], shown["limits"]
    windows = shown["window_blocks"] or {"total": 0}
    assert memory["kv_bytes"] == (
        shown["blocks_total"] * memory["block_bytes"] + windows["total"] * memory["window_block_bytes"]
    )
    assert memory["kv_tokens"] == shown["blocks_total"] * memory["block_tokens"] >= limits["context_tokens"]
    assert memory["weights_bytes"] + memory["scratch_bytes"] + memory["kv_bytes"] <= memory["budget_bytes"]
    assert limits["context_tokens"] == shown["context_length"]
    assert status["resident_bytes"] > memory["weights_bytes"] / 2
    assert status["uptime_s"] > 0


def prefix_of(server, client, messages, **options):
    """What the status page says of the prefix of a request, which is then left."""
    with client.chat.completions.create(model="default", messages=messages, stream=True, **ENDLESS | options):
        shown = wait_until(
            lambda: next((s for r in requests_of(server) for s in r["sequences"] if s["prefix"]), None), 20, "shown"
        )
    wait_until(lambda: not requests_of(server), 10, "it has left")
    return shown["prefix"]


def test_why_a_prefix_missed(server, client):
    first = "The lighthouse keeper counted the waves each night and wrote them down in a book. " * 4
    chat_text(client, first + "What then?", max_tokens=1)

    def miss(text, **options):
        return prefix_of(server, client, [{"role": "user", "content": text}], **options)

    changed = miss(first + "What now?")
    assert changed["miss"] == "differs" and changed["part"] == "messages[0]"
    assert 60 < changed["first_difference"] and changed["cached_tokens"] <= changed["first_difference"]
    assert miss("Utterly different words from the very first one on, and then quite a few more.")["miss"] == "differs"
    salted = miss(first + "What then?", extra_body={"ignore_eos": True, "cache_salt": "another"})
    assert salted["miss"] == "other_salt"
    assert salted["cached_tokens"] == 0


@pytest.mark.parametrize("part", ["system", "tools", "messages[1]", "messages[2]", "messages[3]", "messages[4]"])
def test_which_part_of_a_prompt_differs(server, client, part):
    def talk(changed=None):
        """A conversation of five messages with tools, one part of it changed in its middle."""
        def words(name):
            return f"The {name} part of it, {'blue' if name == changed else 'green'} as it may be, goes on for long."

        tool = {"type": "function", "function": {"name": "weather", "description": words("tools"), "parameters": {}}}
        roles = ["user", "assistant", "user", "assistant"]
        messages = [{"role": role, "content": words(f"messages[{i + 1}]")} for i, role in enumerate(roles)]
        if changed == "messages[2]":  # a call, of which no text stands in the prompt
            messages[1] |= {"content": None, "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
            ]}
        return [{"role": "system", "content": words("system")}, *messages], [tool]

    messages, tools = talk()
    client.chat.completions.create(model="default", messages=messages, tools=tools, max_tokens=1)
    messages, tools = talk(part)
    assert prefix_of(server, client, messages, tools=tools) | {"cached_tokens": 0, "first_difference": 0} == {
        "miss": "differs", "part": part, "cached_tokens": 0, "first_difference": 0,
    }


# --- Cancellation ---


@pytest.mark.parametrize("by", ["x-request-id", "the answer's id"])
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_cancel_ends_a_stream_once(server, client, by, method):
    wait_until(server.is_idle, 10, "idle before the test")
    request_id = f"cancel-{method}-{len(by)}"
    stream = start_stream(client, request_id)
    name = request_id if by == "x-request-id" else next(iter(stream)).id
    path = f"/v1/requests/{name}" + ("/cancel" if method == "POST" else "")
    status, _, body = server.request(method, path)
    assert status == 200
    assert json.loads(body) == {"object": "request.cancel", "id": name, "cancelled": True}
    assert server.request(method, path)[0] == 404, "a second time"
    with pytest.raises(openai.APIError, match="cancelled"):
        for _ in stream:
            pass
    wait_until(server.is_idle, 10, "its blocks are free")


def test_cancel_of_nobody(server):
    status, _, body = server.request("POST", "/v1/requests/nobody/cancel")
    assert status == 404
    assert "nobody" in json.loads(body)["error"]["message"]


# --- Limits ---


def test_a_full_queue_is_503_with_retry_after_and_others_have_a_place():
    with Program("--context", 2048, "--max-num-seqs", 1, "--max-queue", 2) as small, client_of(small) as client:
        running = start_stream(client, "running")
        wait_until(lambda: requests_of(small)[0]["state"] == "decode", 20, "the first one runs")
        with ThreadPoolExecutor(2) as pool:
            waiting = []
            for i in range(2):  # in order
                waiting.append(pool.submit(chat_text, client, f"Question {i}"))
                wait_until(lambda: len(requests_of(small)) == 2 + i, 20, "it waits")
            places = {r["state"]: r["sequences"][0]["queue_position"] for r in requests_of(small)[:2]}
            assert places == {"decode": None, "waiting": 1}
            assert requests_of(small)[2]["sequences"][0]["queue_position"] == 2
            with pytest.raises(openai.InternalServerError) as caught:
                chat_text(client, "One too many")
            assert caught.value.status_code == 503
            assert int(caught.value.response.headers["retry-after"]) >= 1
            running.close()
            assert all(one.result().usage.completion_tokens >= 1 for one in waiting)


def test_max_output_tokens_caps_and_is_the_default():
    with Program("--context", 1024, "--max-output-tokens", 5) as capped, client_of(capped) as client:
        endless = {"extra_body": {"ignore_eos": True}}
        for options in ({"max_tokens": 100}, {"max_tokens": openai.omit}):
            answer = chat_text(client, "Count.", **endless | options)
            assert answer.usage.completion_tokens == 5
            assert answer.choices[0].finish_reason == "length"
        assert chat_text(client, "Count.", **endless | {"max_tokens": 3}).usage.completion_tokens == 3
        assert status_of(capped)["models"][0]["limits"]["output_tokens"] == 5


def test_without_a_prefix_cache_nothing_is_cached():
    with Program("--context", 1024, "--no-prefix-cache") as plain, client_of(plain) as client:
        text = "The same words again. " * 10
        chat_text(client, text)
        assert chat_text(client, text).usage.prompt_tokens_details.cached_tokens == 0
        assert plain.engine()["blocks_cached"] == 0


def test_the_memory_asked_for_is_kept(tmp_path):
    recording = tmp_path / "run.jsonl"
    recording.touch(0o644)
    flags = ("--kv-memory", "32MiB", "--context", 512, "--step-target", 50, "--slow-reader", 5, "--record", recording)
    with Program(*flags) as small, client_of(small) as client:
        shown = status_of(small)["models"][0]
        assert 31 * 2**20 < shown["memory"]["kv_bytes"] <= 32 * 2**20
        assert shown["limits"]["step_target_s"] == 0.05 and shown["limits"]["slow_reader_s"] == 5
        chat_text(client, "Hello")
        with pytest.raises(openai.BadRequestError) as caught:
            chat_text(client, "word " * 600)
        assert caught.value.code == "context_length_exceeded"
        assert "512" in caught.value.message
    assert recording.stat().st_mode & 0o777 == 0o600, "prompts are for the owner's eyes"
    lines = recording.read_text().splitlines()
    assert len(lines) > 3 and all(json.loads(line) for line in lines)
    assert json.loads(lines[0])["kv_type"] == "f16"


def test_int8_kv_takes_about_half_and_answers(server, tmp_path):
    plain = status_of(server)["models"][0]["memory"]
    assert plain["kv_type"] == "f16"
    recording = tmp_path / "run.jsonl"
    flags = ("--kv-type", "int8", "--context", 1024, "--kv-memory", "32MiB", "--record", recording)
    with Program(*flags) as coded, client_of(coded) as client:
        shown = status_of(coded)["models"][0]
        memory = shown["memory"]
        assert memory["kv_type"] == "int8"
        assert memory["block_bytes"] * 64 == plain["block_bytes"] * 34  # of 32 dims: 34 bytes, else 64
        assert memory["kv_bytes"] == shown["blocks_total"] * memory["block_bytes"] <= 32 * 2**20
        text = "Tell me of the rivers of Europe. " * 8
        first = chat_text(client, text, temperature=0)
        again = chat_text(client, text, temperature=0)
        assert again.usage.prompt_tokens_details.cached_tokens > 0
        assert again.choices[0].message.content == first.choices[0].message.content != ""
    assert json.loads(recording.read_text().splitlines()[0])["kv_type"] == "int8"


@pytest.mark.parametrize(
    "flags, told",
    [
        (("--kv-memory", "1MiB"), "KiB"),
        (("--memory", "10MB"), "budget"),
        (("--kv-memory", "24MiB", "--context", "8192"), "8192"),
        (("--max-queue", "0"), "--max-queue"),
        (("--record", "/nowhere/at/all"), "/nowhere/at/all"),
        (("--kv-type", "q4"), "f16, int8"),
    ],
)
def test_what_cannot_be_is_refused_at_the_start(flags, told):
    failed = Program(*flags)
    assert failed.process.wait(60) in (1, 2)
    assert told in failed.log_text()
