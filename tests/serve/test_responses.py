"""The Responses API of the running program, by the openai package: its stream helper checks the order of events."""

import json
import resource
import signal

import httpx
import openai
import pydantic
import pytest

import codex_session
from program import Program, wait_until

QUESTION = "Name three rivers of Europe and one fact about each."
WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "Tells the weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Paris", "Oslo"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


def respond(client, **fields):
    fields = {"model": "default", "input": QUESTION, "temperature": 0, "max_output_tokens": 30} | fields
    return client.responses.create(**fields)


# --- One answer ---


def test_a_stream_ends_with_the_marker_but_for_openais_own_clients(server):
    body = {"model": "default", "input": "Hi", "stream": True, "max_output_tokens": 2}
    for agent, marked in (("curl/8", True), ("OpenAI/Python 2.8.0", False), ("codex_cli_rs/0.63.0", False)):
        answer = httpx.post(f"{server.url}/v1/responses", json=body, headers={"user-agent": agent}, timeout=60)
        assert answer.text.endswith("data: [DONE]\n\n") == marked, agent


def test_create(client, model):
    response = respond(client)
    assert (response.object, response.model, response.status) == ("response", model, "incomplete")
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.output_text.strip()
    assert response.output[0].id.startswith("msg_")
    assert response.usage.output_tokens == 30
    assert response.usage.total_tokens == response.usage.input_tokens + 30
    assert response.metadata == {}


def test_a_completion_and_a_response_are_the_same_answer(client):
    chat = client.chat.completions.create(
        model="default", messages=[{"role": "user", "content": QUESTION}], temperature=0, max_tokens=30
    )
    assert respond(client).output_text == chat.choices[0].message.content


def test_the_stream_helper_finds_every_event_in_order(client):
    whole = respond(client)
    with client.responses.stream(
        model="default", input=QUESTION, temperature=0, max_output_tokens=30, extra_body={"ignore_eos": True}
    ) as stream:
        events = list(stream)
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event for event in events if event.type == "response.output_text.delta"]
    assert "".join(event.delta for event in deltas) == whole.output_text == deltas[-1].snapshot
    assert events[-1].response.usage.output_tokens == whole.usage.output_tokens


def test_the_stream_helper_takes_what_a_silent_stream_says(server):
    """A stream's beginning is repeated in it while a long prompt is computed; here it is played back so."""
    asked = {"model": "default", "input": "Say hi.", "temperature": 0, "stop": [" "], "stream": True}
    sent = server.request("POST", "/v1/responses", json.dumps(asked).encode())[2].decode()
    created, begun, *rest = [json.loads(line[6:]) for line in sent.splitlines() if line.startswith("data: {")]
    assert begun["type"] == "response.in_progress"
    events = [event | {"sequence_number": i} for i, event in enumerate([created, begun, begun, begun, *rest])]
    text = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    transport = httpx.MockTransport(
        lambda _: httpx.Response(200, headers={"content-type": "text/event-stream"}, text=text)
    )
    playing = httpx.Client(transport=transport)
    player = openai.OpenAI(base_url="http://played.back/v1", api_key="none", http_client=playing)
    with player.responses.stream(model="default", input="Say hi.") as stream:
        seen = [event.type for event in stream]
        final = stream.get_final_response()
    assert seen.count("response.in_progress") == 3
    assert final.output_text and final.output_text == rest[-1]["response"]["output"][0]["content"][0]["text"]


def test_a_stream_that_completes(client):
    with client.responses.stream(
        model="default", input="Say hi.", temperature=0, extra_body={"stop": [" "], "max_output_tokens": 100}
    ) as stream:
        final = stream.get_final_response()
    assert final.status == "completed"


def test_parse_with_pydantic(client):
    class River(pydantic.BaseModel):
        name: str
        kilometres: int

    response = client.responses.parse(
        model="default", input="The Rhine as JSON.", text_format=River, temperature=0, max_output_tokens=200
    )
    assert isinstance(response.output_parsed, River)


def test_json_object(client):
    response = respond(
        client, input="The Rhine as JSON.", text={"format": {"type": "json_object"}}, max_output_tokens=300
    )
    if response.status == "completed":
        assert isinstance(json.loads(response.output_text), dict)
    else:
        assert response.output_text.lstrip().startswith("{")


def test_log_probabilities(client):
    response = respond(client, include=["message.output_text.logprobs"], top_logprobs=2, max_output_tokens=5)
    entries = response.output[0].content[0].logprobs
    assert len(entries) == 5 and all(len(entry.top_logprobs) == 2 for entry in entries)


def test_input_tokens(client):
    counted = client.responses.input_tokens.count(model="default", input=QUESTION)
    assert counted.input_tokens == respond(client, max_output_tokens=1).usage.input_tokens


# --- Tools ---


def test_a_tool_loop(client):
    items = [{"role": "user", "content": "How is the weather in Oslo?"}]
    first = respond(client, input=items, tools=[WEATHER], tool_choice="required", max_output_tokens=200)
    calls = [item for item in first.output if item.type == "function_call"]
    assert calls and calls[0].name == "weather" and calls[0].status == "completed"
    assert json.loads(calls[0].arguments)["city"] in ("Paris", "Oslo")
    items += [item.to_dict() for item in first.output]
    items.append({"type": "function_call_output", "call_id": calls[0].call_id, "output": "Sunny, 20 degrees."})
    second = respond(client, input=items, tools=[WEATHER], tool_choice="none")
    assert second.output_text.strip()


def test_a_streamed_call_is_the_same_call(client):
    fields = {"input": "Weather in Paris?", "tools": [WEATHER], "tool_choice": {"type": "function", "name": "weather"}}
    whole = respond(client, **fields, max_output_tokens=200)
    with client.responses.stream(model="default", temperature=0, max_output_tokens=200, **fields) as stream:
        final = stream.get_final_response()
    assert [(i.name, i.arguments) for i in final.output if i.type == "function_call"] == [
        (i.name, i.arguments) for i in whole.output if i.type == "function_call"
    ]


def test_a_forced_custom_tool(client):
    grammar = {"type": "grammar", "syntax": "regex", "definition": "[a-f]{4}"}
    tool = {"type": "custom", "name": "code", "format": grammar}
    response = respond(client, tools=[tool], tool_choice={"type": "custom", "name": "code"}, max_output_tokens=200)
    call = next(item for item in response.output if item.type == "custom_tool_call")
    assert len(call.input) == 4 and set(call.input) <= set("abcdef")


def test_a_coding_agents_session(client, server):
    def turn(items):
        """Streams one turn, as the agent does, and returns its last response."""
        body = json.dumps(codex_session.request(items, temperature=0, max_output_tokens=24)).encode()
        status, headers, answer = server.request("POST", "/v1/responses", body, {"content-type": "application/json"})
        assert status == 200, answer
        assert "x-request-id" in {name.lower() for name in headers}
        events = [json.loads(e.split("data: ", 1)[1]) for e in answer.decode().split("\n\n") if "data: {" in e]
        assert events[0]["type"] == "response.created"
        done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        last = events[-1]["response"]
        assert events[-1]["type"] in ("response.completed", "response.incomplete")
        assert last["output"] == done
        assert {warning["code"] for warning in last["warnings"]} == {"unsupported_tool"}
        return last

    first = turn(codex_session.FIRST_INPUT)
    assert first["usage"]["input_tokens"] > 200
    history = codex_session.FIRST_INPUT + codex_session.FIRST_TURN
    second = turn(history)
    cached = second["usage"]["input_tokens_details"]["cached_tokens"]
    assert cached > 0.8 * first["usage"]["input_tokens"] - 32, "the second turn reuses the first one's prompt"
    third = turn(history + first["output"] + [codex_session.message("user", "And now the tests.")])
    assert third["usage"]["input_tokens_details"]["cached_tokens"] > cached
    # Nothing of it was stored.
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first["id"])


# --- State ---


def test_goes_on_from_an_earlier_response(client):
    first = respond(client)
    second = respond(client, input="And of Asia?", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    assert second.usage.input_tokens > first.usage.input_tokens + 25
    assert second.usage.input_tokens_details.cached_tokens > 0
    items = list(client.responses.input_items.list(second.id, order="asc", limit=1))
    assert [item.role for item in items] == ["user", "assistant", "user"], "all pages, in order"


def test_retrieve_and_delete(client):
    made = respond(client, metadata={"purpose": "test"})
    assert client.responses.retrieve(made.id) == made
    client.responses.delete(made.id)
    for lost in (client.responses.retrieve, client.responses.delete, client.responses.input_items.list):
        with pytest.raises(openai.NotFoundError):
            lost(made.id)


def test_background(client):
    made = respond(client, background=True)
    assert made.status == "queued"
    done = wait_until(
        lambda: (r := client.responses.retrieve(made.id)).status not in ("queued", "in_progress") and r, 60, "it ends"
    )
    assert done.output_text == respond(client).output_text


def test_background_is_cancelled(client, server):
    made = respond(client, background=True, max_output_tokens=1500, extra_body={"ignore_eos": True})
    wait_until(lambda: server.engine()["running"] > 0, 20, "it runs")
    assert client.responses.cancel(made.id).status == "cancelled"
    wait_until(server.is_idle, 10, "nothing runs")
    assert client.responses.retrieve(made.id).status == "cancelled"


def test_a_background_stream_is_taken_up_again(client):
    stream = respond(client, background=True, stream=True, max_output_tokens=60, extra_body={"ignore_eos": True})
    created = next(iter(stream))
    stream.close()
    events = list(client.responses.retrieve(created.response.id, stream=True, starting_after=2))
    assert [event.sequence_number for event in events] == list(range(3, 3 + len(events)))
    assert events[-1].type == "response.incomplete" and events[-1].response.usage.output_tokens == 60


def test_responses_survive_a_restart(tmp_path):
    flags = ("--context", 512, "--responses", tmp_path / "responses.db")
    with Program(*flags) as running, openai.OpenAI(base_url=running.url + "/v1", api_key="none") as client:
        first = respond(client, max_output_tokens=5)
    with Program(*flags) as running, openai.OpenAI(base_url=running.url + "/v1", api_key="none") as client:
        assert client.responses.retrieve(first.id) == first
        second = respond(client, max_output_tokens=5, previous_response_id=first.id)
        assert second.usage.input_tokens > first.usage.input_tokens


def test_a_full_disk_loses_the_response_and_nothing_else(tmp_path):
    def small_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    flags = ("--context", 512, "--responses", tmp_path / "responses.db")
    with Program(*flags, before_start=small_files) as running:
        with openai.OpenAI(base_url=running.url + "/v1", api_key="none", max_retries=0) as client:
            big = {"metadata": {str(i): "x" * 500 for i in range(16)}}
            for _ in range(60):
                response = respond(client, max_output_tokens=2, **big)
                if not response.store:
                    break
            assert response.output_text and not response.store
            assert response.warnings[0]["code"] == "not_stored"
            assert respond(client, max_output_tokens=2, store=False).output_text


# --- Errors ---


@pytest.mark.parametrize(
    "fields, param",
    [
        ({"input": []}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:,"}]}]},
         "input[0].content[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"reasoning": {"effort": "enormous"}}, "reasoning.effort"),
        ({"extra_body": {"conversation": "conv_1"}}, "conversation"),
    ],
)
def test_what_is_wrong_is_named(client, fields, param):
    with pytest.raises(openai.BadRequestError) as caught:
        respond(client, **fields)
    assert caught.value.param == param


def test_too_long(client):
    with pytest.raises(openai.BadRequestError) as caught:
        respond(client, input="word " * 4000)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "input")
    events = list(respond(client, input="word " * 4000, stream=True))
    assert events[-1].type == "response.failed"
    assert events[-1].response.error.code == "context_length_exceeded"


def test_a_client_that_leaves_frees_its_blocks(client, server):
    wait_until(server.is_idle, 10, "idle before the test")
    stream = respond(client, stream=True, max_output_tokens=1500, extra_body={"ignore_eos": True})
    wait_until(lambda: server.engine()["running"] == 1, 20, "it runs")
    stream.close()
    wait_until(server.is_idle, 5, "its blocks are free")
