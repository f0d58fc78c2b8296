"""Tools, fill-in-the-middle and images of the ollama package, against Qwen2.5-Coder-1.5B."""

import json

import ollama
import pytest

import tool_tasks

WEATHER = tool_tasks.TOOLS["get_weather"]
QUESTION = [{"role": "user", "content": "What is the weather in Paris?"}]
OPTIONS = {"temperature": 0, "repeat_penalty": 1, "num_predict": 80}


@pytest.fixture(scope="module")
def client(coder):
    return ollama.Client(host=coder.url, timeout=170)


@pytest.fixture(scope="module")
def model(client):
    return client.list().models[0].model


def test_a_call_its_result_and_the_answer(client, model):
    asked = client.chat(model, QUESTION, tools=[WEATHER], options=OPTIONS)
    [call] = asked.message.tool_calls
    assert call.function.name == "get_weather" and call.function.arguments["city"] == "Paris"
    streamed = [
        call
        for part in client.chat(model, QUESTION, tools=[WEATHER], options=OPTIONS, stream=True)
        for call in part.message.tool_calls or []
    ]
    assert streamed == [call]
    result = {"role": "tool", "tool_name": "get_weather", "content": json.dumps({"sky": "rain", "celsius": 9})}
    # Without the tools at hand: a small model would ask again.
    answer = client.chat(model, [*QUESTION, asked.message, result], options=OPTIONS)
    assert "rain" in answer.message.content.lower() or "9" in answer.message.content


def test_the_middle(client, model):
    assert "insert" in client.show(model).capabilities
    answer = client.generate(
        model, "def add(a, b):\n    return ", suffix="\n\nprint(add(1, 2))\n", options=OPTIONS | {"num_predict": 12}
    )
    assert "a + b" in answer.response
