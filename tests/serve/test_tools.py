"""Tools, thinking and formats through the openai package, against Qwen2.5-Coder-1.5B."""

import asyncio
import json
import socket

import openai
import pytest
from openai.lib.responses_tool_runner import RegisteredFunction, ResponsesToolRunner
from pydantic import BaseModel

import tool_tasks
from program import wait_until

WEATHER = tool_tasks.TOOLS["get_weather"]


@pytest.fixture(scope="module")
def client(coder):
    with openai.OpenAI(base_url=coder.url + "/v1", api_key="none", max_retries=0, timeout=170) as client:
        yield client


def create(client, question="What is the weather in Paris?", **options):
    options = {"temperature": 0, "max_tokens": 120, "tools": [WEATHER]} | options
    messages = question if isinstance(question, list) else [{"role": "user", "content": question}]
    return client.chat.completions.create(model="default", messages=messages, **options)


# --- Auto ---


def test_a_call_whole_and_streamed(client):
    whole = create(client).choices[0]
    assert whole.finish_reason == "tool_calls" and whole.message.content is None
    [call] = whole.message.tool_calls
    assert call.id.startswith("call_") and call.function.name == "get_weather"
    assert json.loads(call.function.arguments)["city"] == "Paris"
    question = [{"role": "user", "content": "What is the weather in Paris?"}]
    with client.chat.completions.stream(
        model="default", messages=question, tools=[WEATHER], temperature=0, max_tokens=120
    ) as stream:
        events = [event.type for event in stream]
        streamed = stream.get_final_completion().choices[0]
    assert "tool_calls.function.arguments.delta" in events and "tool_calls.function.arguments.done" in events
    assert streamed.finish_reason == "tool_calls"
    assert streamed.message.tool_calls[0].function.arguments == call.function.arguments


def test_a_strict_tool_is_held_in_the_models_own_form(client):
    parameters = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
        "additionalProperties": False,
    }
    tool = {"type": "function", "function": {"name": "get_weather", "strict": True, "parameters": parameters}}
    questions = (
        "What is the weather in Paris and in Rome?",
        "Weather in Oslo, Bergen and Trondheim, please. Call the tool once with a list of cities.",
        'Call get_weather for Rome with days="many".',
    )
    for question in questions:
        # The model writes fenced JSON, not its dialect's marks.
        choice = create(client, question, tools=[tool]).choices[0]
        assert choice.finish_reason == "tool_calls", choice
        for call in choice.message.tool_calls:
            arguments = json.loads(call.function.arguments)
            assert set(arguments) == {"city", "days"}, arguments
            assert isinstance(arguments["city"], str) and isinstance(arguments["days"], int), arguments


def test_the_tool_loop(client):
    messages = [{"role": "user", "content": "What is the weather in Paris?"}]
    message = create(client, messages).choices[0].message
    messages.append(message)
    for call in message.tool_calls:
        messages.append({"role": "tool", "tool_call_id": call.id, "content": '{"temperature": 31, "sky": "cloudless"}'})
    # Whether a small model asks again is its own affair, and may hang on a last bit; that it may not, is ours.
    last = create(client, messages, tool_choice="none").choices[0]
    assert last.finish_reason == "stop" and "31" in last.message.content


class Weather(BaseModel):
    """Tells the current weather of a city."""

    city: str


@pytest.mark.parametrize("stream", [False, True])
def test_the_packages_own_loop(client, stream):
    asked = []

    def execute(where):
        asked.append(where)
        return '{"temperature": 31, "sky": "cloudless"}'

    tool = openai.pydantic_function_tool(Weather, name="get_weather")["function"]
    declared = {"type": "function", "name": "get_weather", "parameters": tool["parameters"], "strict": True}
    runner = ResponsesToolRunner(functions=[RegisteredFunction(declared | {"description": "Weather."}, execute)])
    question = [{"role": "user", "content": "What is the weather in Paris?"}]
    params = {"model": "default", "input": question, "temperature": 0, "max_output_tokens": 120}
    response = runner.run(client, params, stream=stream, max_steps=4)
    # How often a small model asks, and what it says in the end, is its own affair.
    assert asked and all(where == {"city": "Paris"} for where in asked)
    assert response.status == "completed" and response.output[-1].type == "message"


def test_kept_tasks(client):
    some = tool_tasks.TASKS[:3] + tool_tasks.TASKS[16:18] + tool_tasks.TASKS[25:27]
    verdicts = [tool_tasks.judge(task, tool_tasks.ask(client, task, "default")) for task in some]
    assert sum(verdict.right for verdict in verdicts) >= 5, [verdict.why for verdict in verdicts]


def test_none_never_calls(client):
    choice = create(client, tool_choice="none", max_tokens=40).choices[0]
    assert not choice.message.tool_calls and choice.message.content


# --- Forced ---


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("question", ["Hi, how are you?", "What is 2 + 2?"])
def test_required_forces_a_call(client, stream, question):
    task = {"prompt": question, "tools": ["get_weather", "get_time"]}
    calls = tool_tasks.ask(client, task, "default", stream=stream, tool_choice="required")
    assert calls and tool_tasks.judge(task | {"name": calls[0][0], "arguments": {}}, calls).valid


def test_a_named_tool_is_called(client):
    choice = {"type": "function", "function": {"name": "set_reminder"}}
    tools = ["get_weather", "set_reminder"]
    task = {"prompt": "What is the weather in Paris?", "tools": tools, "name": "set_reminder", "arguments": {}}
    calls = tool_tasks.ask(client, task, "default", tool_choice=choice)
    assert len(calls) == 1 and tool_tasks.judge(task, calls).right


# --- Formats ---


class Person(BaseModel):
    name: str
    age: int
    emails: list[str]


def test_parse_with_pydantic(client):
    completion = client.chat.completions.parse(
        model="default",
        messages=[{"role": "user", "content": "Anna is 31. Her address is anna@example.com."}],
        response_format=Person,
        temperature=0,
        max_tokens=120,
    )
    person = completion.choices[0].message.parsed
    assert (person.name, person.age, person.emails) == ("Anna", 31, ["anna@example.com"])


def test_schemas_streamed_eight_at_once(coder):
    async def one(client, task):
        form = {"name": task["name"], "schema": task["schema"], "strict": True}
        stream = await client.chat.completions.create(
            model="default",
            messages=[{"role": "user", "content": task["prompt"]}],
            response_format={"type": "json_schema", "json_schema": form},
            max_tokens=300,
            stream=True,
            seed=1,
        )
        text = ""
        async for chunk in stream:
            text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        tool_tasks.jsonschema.validate(json.loads(text), task["schema"])

    async def all_of_them():
        options = {"base_url": coder.url + "/v1", "api_key": "none", "max_retries": 0, "timeout": 170}
        async with openai.AsyncOpenAI(**options) as client:
            await asyncio.gather(*(one(client, task) for task in tool_tasks.SCHEMAS))

    assert len(tool_tasks.SCHEMAS) == 8
    asyncio.run(all_of_them())


def test_choice_and_regex(client):
    picked = create(client, "Is the sky blue?", tools=openai.NOT_GIVEN, extra_body={"choice": ["yes", "no"]})
    assert picked.choices[0].message.content in ("yes", "no")
    regex = {"regex": "[0-9]{4}-[0-9]{2}-[0-9]{2}"}
    date = create(client, "When did Apollo 11 land?", tools=openai.NOT_GIVEN, extra_body=regex)
    assert len(date.choices[0].message.content) == 10


# --- Leaving ---


def test_a_client_that_leaves_in_a_call_frees_its_blocks(coder):
    body = {
        "messages": [{"role": "user", "content": "Write a long poem about the sea to the file poem.txt."}],
        "tools": [tool_tasks.TOOLS["write_file"]],
        "tool_choice": "required",
        "model": "default",
        "stream": True,
        "max_tokens": 2000,
    }
    text = json.dumps(body).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(text)}\r\n\r\n"
    with coder.connect() as connection:
        connection.sendall(head.encode() + text)
        seen = b""
        while b"arguments" not in seen:
            seen += connection.recv(4096)
        connection.shutdown(socket.SHUT_RDWR)
    wait_until(lambda: coder.engine()["running"] == 0, 10, "the sequence ends with its client")
    assert coder.engine()["blocks_leased"] == 0
