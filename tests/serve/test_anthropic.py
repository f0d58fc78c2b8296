"""The Messages API of the running program, by the anthropic package: its accumulators check the order of events."""

import json
import time

import anthropic
import pydantic
import pytest

from claude_session import Session
from program import Program, wait_until

QUESTION = [{"role": "user", "content": "Name three rivers of Europe and one fact about each."}]
WEATHER = {
    "name": "weather",
    "description": "Tells the weather of a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Paris", "Oslo"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
BLOCK = ["content_block_start", "content_block_delta", "content_block_stop"]
EVENTS = ["message_start", *BLOCK, "message_delta", "message_stop"]


@pytest.fixture(scope="module")
def claude(server):
    # No retries: a test must see each failure.
    with anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0, timeout=120) as client:
        yield client


def send(client, **fields):
    body = {"model": "default", "messages": QUESTION, "max_tokens": 30, "temperature": 0} | fields
    known = {name: body.pop(name) for name in ("model", "messages", "max_tokens")}
    return client.messages.create(**known, extra_body=body)


def stream(client, **fields):
    body = {"model": "default", "messages": QUESTION, "max_tokens": 30, "temperature": 0} | fields
    known = {name: body.pop(name) for name in ("model", "messages", "max_tokens")}
    return client.messages.stream(**known, extra_body=body)


# --- One answer ---


def test_create(claude, model):
    message = send(claude)
    assert (message.type, message.role, message.model) == ("message", "assistant", model)
    assert message.id.startswith("msg_") and message._request_id
    assert message.content[0].text.strip()
    assert message.stop_reason == "max_tokens" and message.stop_sequence is None
    assert message.usage.output_tokens == 30


def test_a_chat_completion_and_a_message_are_the_same_answer(claude, client):
    chat = client.chat.completions.create(model="default", messages=QUESTION, temperature=0, max_tokens=30)
    message = send(claude)
    assert message.content[0].text == chat.choices[0].message.content
    usage = message.usage
    inputs = usage.input_tokens + usage.cache_creation_input_tokens + usage.cache_read_input_tokens
    assert inputs == chat.usage.prompt_tokens


def test_the_stream_helper_finds_every_event_in_order(claude):
    whole = send(claude)
    with stream(claude) as events:
        kinds = [event.type for event in events if event.type in EVENTS]
        final = events.get_final_message()
    assert kinds[:2] == EVENTS[:2] and kinds[-3:] == EVENTS[-3:]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    assert final.content[0].text == whole.content[0].text
    assert final.stop_reason == whole.stop_reason
    assert final.usage.output_tokens == whole.usage.output_tokens
    inputs = final.usage.input_tokens + final.usage.cache_read_input_tokens + final.usage.cache_creation_input_tokens
    assert inputs == whole.usage.input_tokens + whole.usage.cache_read_input_tokens


def test_text_stream_and_async_client(claude, server):
    import asyncio

    with stream(claude) as events:
        text = "".join(events.text_stream)
    assert text == send(claude).content[0].text

    async def ask():
        async with anthropic.AsyncAnthropic(base_url=server.url, auth_token="none", max_retries=0) as client:
            async with client.messages.stream(
                model="default", messages=QUESTION, max_tokens=30, extra_body={"temperature": 0}
            ) as events:
                return await events.get_final_text()

    assert asyncio.run(ask()) == text


def test_stop_sequences(claude):
    whole = send(claude).content[0].text
    word = whole.split()[3]
    message = send(claude, stop_sequences=["\u0000never", word])
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", word)
    assert message.content[0].text == whole[: whole.index(word)]
    with stream(claude, stop_sequences=[word]) as events:
        final = events.get_final_message()
    assert (final.stop_reason, final.stop_sequence) == ("stop_sequence", word)


def test_prefill(claude):
    messages = [*QUESTION, {"role": "assistant", "content": "The first river is the"}]
    message = send(claude, messages=messages)
    assert message.content[0].text and not message.content[0].text.startswith("The first river")
    assert message.usage.input_tokens > send(claude).usage.input_tokens


def test_parse_with_pydantic(claude):
    class River(pydantic.BaseModel):
        name: str
        kilometres: int

    message = claude.messages.parse(
        model="default",
        max_tokens=200,
        messages=[{"role": "user", "content": "The Rhine as JSON."}],
        output_format=River,
        extra_body={"temperature": 0},
    )
    assert isinstance(message.parsed_output, River)


def test_count_tokens(claude):
    system = [{"type": "text", "text": "Be short.", "cache_control": {"type": "ephemeral"}}]
    fields = {"system": system, "tools": [WEATHER]}
    counted = claude.messages.count_tokens(model="claude-haiku-4-5", messages=QUESTION, **fields)
    usage = send(claude, max_tokens=1, **fields).usage
    assert counted.input_tokens == sum(
        (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens)
    )
    assert counted.input_tokens > claude.messages.count_tokens(model="default", messages=QUESTION).input_tokens + 30
    beta = claude.beta.messages.count_tokens(model="default", messages=QUESTION, context_management={"edits": []})
    assert beta.context_management.original_input_tokens == beta.input_tokens


def test_models(claude, model):
    page = claude.models.list()
    assert [entry.id for entry in page] == [model] and not page.has_more
    entry = claude.models.retrieve("claude-sonnet-4-5")
    assert entry.id == model and entry.type == "model" and entry.max_input_tokens > 0
    assert entry.created_at.year >= 2024
    assert entry.capabilities.structured_outputs.supported and not entry.capabilities.image_input.supported


# --- Tools and thinking ---


def test_a_tool_loop(claude):
    messages = [{"role": "user", "content": "How is the weather in Oslo?"}]
    first = send(claude, messages=messages, tools=[WEATHER], tool_choice={"type": "any"}, max_tokens=200)
    assert first.stop_reason == "tool_use"
    calls = [block for block in first.content if block.type == "tool_use"]
    assert calls[0].name == "weather" and calls[0].id.startswith("toolu_")
    assert calls[0].input["city"] in ("Paris", "Oslo")
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "Sunny, 20 degrees."} for call in calls]
    messages += [first.to_param(), {"role": "user", "content": results}]
    second = send(claude, messages=messages, tools=[WEATHER], tool_choice={"type": "none"})
    assert second.content[0].type == "text"


def test_a_call_streamed_is_the_call(claude):
    fields = {"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "weather"}, "max_tokens": 200}
    whole = send(claude, **fields)
    with stream(claude, **fields) as events:
        pieces = [event.partial_json for event in events if event.type == "input_json"]
        final = events.get_final_message()
    assert [block.type for block in final.content] == ["tool_use"] == [block.type for block in whole.content]
    assert final.content[0].input == json.loads("".join(pieces)) == whole.content[0].input
    assert final.stop_reason == "tool_use"


def test_the_tool_runner(claude):
    asked = []

    @anthropic.beta_tool
    def weather(city: str) -> str:
        """Tells the weather of a city.

        Args:
            city: The city's name.
        """
        asked.append(city)
        return "Sunny."

    runner = claude.beta.messages.tool_runner(
        model="default",
        max_tokens=100,
        extra_body={"temperature": 0},  # else the model may ramble on in the city
        max_iterations=2,
        tools=[weather],
        tool_choice={"type": "any"},
        messages=[{"role": "user", "content": "How is the weather in Oslo?"}],
    )
    messages = list(runner)
    assert asked and messages[0].stop_reason == "tool_use"


def test_server_tools_are_left_out_visibly(claude):
    message = send(claude, tools=[{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}])
    assert message.content[0].text
    assert [warning["code"] for warning in message.warnings] == ["unsupported_tool"]


# --- Errors ---


@pytest.mark.parametrize(
    "fields, name",
    [
        ({"messages": []}, "messages"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, "messages[0].content[0].type"),
        ({"tools": [{"name": "x"}]}, "tools[0].input_schema"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"output_config": {"format": {"type": "json_schema", "schema": {"type": 5}}}}, "output_config.format"),
        ({"stop_sequences": "x" * 5000}, "stop_sequences"),
    ],
)
def test_errors_name_the_field(claude, fields, name):
    with pytest.raises(anthropic.BadRequestError) as caught:
        send(claude, **fields)
    body = caught.value.body
    assert body["type"] == "error" and body["error"]["type"] == "invalid_request_error"
    assert name in body["error"]["message"]
    assert body["request_id"] == caught.value.response.headers["request-id"]


def test_other_errors(claude, server):
    with pytest.raises(anthropic.NotFoundError) as caught:
        send(claude, model="gpt-4o")
    assert caught.value.body["error"]["type"] == "not_found_error"
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long: .* tokens > .* maximum"):
        send(claude, messages=[{"role": "user", "content": "word " * 5000}])
    status, headers, body = server.request("POST", "/v1/messages", b"[" * (33 << 20))
    assert status == 413 and json.loads(body)["error"]["type"] == "request_too_large"
    status, headers, body = server.request("PUT", "/v1/messages")
    assert status == 405 and json.loads(body)["type"] == "error"
    assert "request-id" in {name.lower() for name in headers}


def test_strict_ids_and_a_full_queue():
    with Program("--context", 1024, "--strict-model-ids", "--max-num-seqs", 1, "--max-queue", 1) as running:
        with anthropic.Anthropic(base_url=running.url, api_key="none", max_retries=0) as client:
            with pytest.raises(anthropic.NotFoundError):
                send(client, model="claude-sonnet-4-5")
            endless = {"max_tokens": 900, "ignore_eos": True}
            streams = []
            try:
                with pytest.raises(anthropic.APIStatusError) as caught:
                    for _ in range(6):
                        streams.append(client.messages.create(
                            model="default", messages=QUESTION, max_tokens=900, stream=True, extra_body=endless
                        ))
                assert caught.value.status_code == 529
                assert caught.value.body["error"]["type"] == "overloaded_error"
                assert int(caught.value.response.headers["retry-after"]) >= 1
            finally:
                for opened in streams:
                    opened.close()
            wait_until(running.is_idle, 30, "all have ended")


def test_a_client_that_leaves_ends_its_answer(claude, server):
    with claude.messages.create(model="default", messages=QUESTION, max_tokens=1500, stream=True) as events:
        next(iter(events))
    wait_until(server.is_idle, 20, "nothing is left running")


# --- What is computed again ---


@pytest.fixture(scope="module")
def long_server():
    with Program("--context", 8192) as running:
        yield running


def test_a_second_turn_computes_little(long_server):
    with anthropic.Anthropic(base_url=long_server.url, api_key="none", max_retries=0, timeout=170) as client:
        session = Session(prompt_words=7000)
        session.ask("What does the first file do?")
        first = client.beta.messages.create(**_extra(session.request(tool_choice={"type": "none"})))
        total = _inputs(first.usage)
        assert total > 3000 and first.usage.cache_read_input_tokens == 0
        assert first.usage.cache_creation_input_tokens > 0.9 * total
        session.answered([block.to_dict() for block in first.content])
        session.ask("And the second?")
        second = client.beta.messages.create(**_extra(session.request(tool_choice={"type": "none"})))
        computed = second.usage.input_tokens + second.usage.cache_creation_input_tokens
        assert computed < 0.05 * _inputs(second.usage), second.usage


def test_the_rules_that_kept_it_alike_are_told(long_server):
    session = Session(prompt_words=300)
    session.ask("Count to a thousand.")
    body = session.request(max_tokens=2000, stream=True, ignore_eos=True)
    body["system"][1]["text"] += "\nToday's date: 2026-11-21\n"
    with anthropic.Anthropic(base_url=long_server.url, api_key="none", max_retries=0) as client:
        with client.beta.messages.create(**_extra(body)) as events:
            next(iter(events))
            requests = json.loads(long_server.get("/v1/status")[2])["requests"]
    assert {"billing_header", "date_line"} <= set(requests[0]["prompt_rules"])
    wait_until(long_server.is_idle, 20, "nothing is left running")


def _extra(body):
    """The package has no names for all fields."""
    known = {name: body[name] for name in ("model", "messages", "max_tokens")}
    return known | {"extra_body": {name: value for name, value in body.items() if name not in known}, **(
        {"stream": True} if body.get("stream") else {}
    )}


def _inputs(usage):
    return usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens


# --- Batches ---


def _entry(custom_id, **params):
    return {"custom_id": custom_id, "params": {"model": "default", "messages": QUESTION, "max_tokens": 5} | params}


def _ended(client, batch_id):
    batch = client.messages.batches.retrieve(batch_id)
    return batch if batch.processing_status == "ended" else None


def test_a_batch(claude):
    made = claude.messages.batches.create(requests=[_entry("a"), _entry("b", max_tokens=-1), _entry("c", stream=True)])
    assert made.processing_status == "in_progress" and made.request_counts.processing == 3
    batch = wait_until(lambda: _ended(claude, made.id), 60, "the batch has ended")
    assert (batch.request_counts.succeeded, batch.request_counts.errored) == (1, 2)
    results = {result.custom_id: result.result for result in claude.messages.batches.results(made.id)}
    assert results["a"].message.content[0].text and results["a"].message.usage.service_tier == "batch"
    assert "max_tokens" in results["b"].error.error.message
    assert "stream" in results["c"].error.error.message
    assert made.id in [entry.id for entry in claude.messages.batches.list(limit=1)]
    assert claude.messages.batches.delete(made.id).type == "message_batch_deleted"
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.batches.retrieve(made.id)


def test_a_batch_is_cancelled(claude, server):
    endless = _entry("a", max_tokens=1500, ignore_eos=True)
    made = claude.messages.batches.create(requests=[endless | {"custom_id": f"n{i}"} for i in range(8)])
    wait_until(lambda: server.engine()["running"] > 0, 20, "the first is being answered")
    with pytest.raises(anthropic.BadRequestError):
        claude.messages.batches.delete(made.id)
    assert claude.messages.batches.cancel(made.id).processing_status in ("canceling", "ended")
    batch = wait_until(lambda: _ended(claude, made.id), 30, "the batch has ended")
    assert batch.request_counts.canceled == 8
    assert {result.result.type for result in claude.messages.batches.results(made.id)} == {"canceled"}
    wait_until(server.is_idle, 20, "nothing is left running")


@pytest.mark.parametrize(
    "body, name",
    [
        ({}, "requests"),
        ({"requests": []}, "requests"),
        ({"requests": [{"custom_id": "a"}]}, "requests[0].params"),
        ({"requests": [{"custom_id": "a b", "params": {}}]}, "requests[0].custom_id"),
        ({"requests": [{"custom_id": "a", "params": {}}, {"custom_id": "a", "params": {}}]}, "requests[1].custom_id"),
    ],
)
def test_a_batch_is_refused(server, body, name):
    status, _, answer = server.request("POST", "/v1/messages/batches", json.dumps(body).encode())
    assert status == 400 and name in json.loads(answer)["error"]["message"]


def test_a_batch_outlives_the_program(tmp_path):
    flags = ("--context", 1024, "--batches", tmp_path / "batches.db")
    with Program(*flags) as running:
        with anthropic.Anthropic(base_url=running.url, api_key="none", max_retries=0) as client:
            requests = [_entry(f"n{i}", max_tokens=400, ignore_eos=True) for i in range(12)]
            made = client.messages.batches.create(requests=requests)
            time.sleep(0.5)
        running.process.kill()
        running.process.wait()
        with Program(*flags) as again, anthropic.Anthropic(base_url=again.url, api_key="none", max_retries=0) as client:
            batch = wait_until(lambda: _ended(client, made.id), 120, "the batch has ended")
            assert batch.request_counts.succeeded == 12
        running.process.returncode = 0
