"""LangChain's ChatOpenAI: its own standard tests for chat models, by both APIs, and what they leave out."""

import os

import pydantic
import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

QUESTION = "Name three rivers of Europe and one fact about each."


def options(server, **more):
    fixed = {"base_url": server.url + "/v1", "api_key": "none", "model": "default", "max_retries": 0, "timeout": 170}
    return fixed | {"temperature": 0, "max_tokens": 40} | more


@tool
def weather(city: str, days: int) -> str:
    """Tells the weather of a city."""
    return f"Sunny in {city}"


@tool
def clock() -> str:
    """Tells the time."""
    return "12:00"


class City(pydantic.BaseModel):
    name: str = pydantic.Field(max_length=20)
    country: str = pydantic.Field(max_length=20)


# --- The published suite ---


@pytest.mark.skipif("PIPPIN_TEST_LONG" not in os.environ,
                    reason="asks much of a slow model: PIPPIN_TEST_LONG=1 runs it")
class TestStandard(ChatModelIntegrationTests):
    """The suite asks questions, so it needs a model that knows something; the one here reads text only."""

    params = {}

    @pytest.fixture
    def model(self, coder, request):
        self.params = options(coder, max_tokens=200, stream_usage=True)
        if request.node.name == "test_structured_output_optional_param":
            # Without a penalty this model, which is small, tells of a cat and a bird for ever.
            self.params["frequency_penalty"] = 0.5
        return ChatOpenAI(**self.params)

    @property
    def chat_model_class(self):
        return ChatOpenAI

    @property
    def chat_model_params(self):
        return self.params

    @property
    def supports_json_mode(self):
        return True


# --- Both APIs ---


@pytest.fixture(params=[False, True], ids=["chat", "responses"])
def llm(server, request):
    return ChatOpenAI(**options(server, use_responses_api=request.param, stream_usage=True))


def test_a_stream_is_the_whole_answer(llm):
    whole = llm.invoke(QUESTION)
    pieces = list(llm.stream(QUESTION))
    assert len(pieces) > 10
    assert "".join(piece.text for piece in pieces) == whole.text
    assert whole.usage_metadata["output_tokens"] == 40
    assert sum((p.usage_metadata or {}).get("output_tokens", 0) for p in pieces) == 40


def test_a_batch_is_each_answer(llm):
    questions = [QUESTION, "What is the sea?", "Count to five."]
    assert [m.text for m in llm.batch(questions)] == [llm.invoke(question).text for question in questions]


@pytest.mark.parametrize("choice", ["any", "required", "weather", True])
def test_a_forced_tool(llm, choice):
    tools = [weather] if choice is True else [clock, weather]
    bound = llm.bind_tools(tools, tool_choice=choice, parallel_tool_calls=False)
    message = bound.invoke("How is the weather in Oslo?", max_tokens=120)
    [call] = message.tool_calls
    assert call["name"] == "weather" or choice in ("any", "required")
    {"weather": weather, "clock": clock}[call["name"]].invoke(call["args"])


def test_a_streamed_call_is_the_whole_one(llm):
    bound = llm.bind_tools([weather], tool_choice="weather", strict=True, parallel_tool_calls=False)
    whole = bound.invoke("Oslo?", max_tokens=120)
    joined = None
    for piece in bound.stream("Oslo?", max_tokens=120):
        joined = piece if joined is None else joined + piece
    assert [(c["name"], c["args"]) for c in joined.tool_calls] == [(c["name"], c["args"]) for c in whole.tool_calls]
    assert joined.tool_calls


def test_history_with_a_call(llm):
    call = {"name": "weather", "args": {"city": "Oslo", "days": 1}, "id": "call_1", "type": "tool_call"}
    history = [
        HumanMessage("How is the weather in Oslo?"),
        AIMessage("", tool_calls=[call]),
        ToolMessage("Sunny, 20 degrees.", tool_call_id="call_1"),
    ]
    assert llm.bind_tools([weather], tool_choice="none").invoke(history).text.strip()


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output(llm, method):
    structured = llm.with_structured_output(City, method=method, include_raw=True)
    answer = structured.invoke("The capital of France is Paris.", max_tokens=120)
    assert answer["parsing_error"] is None
    assert isinstance(answer["parsed"], City)


# --- With a model that can ---


@pytest.fixture(params=[False, True], ids=["chat", "responses"])
def able(coder, request):
    return ChatOpenAI(**options(coder, max_tokens=120, use_responses_api=request.param))


def test_a_tool_loop(able):
    @tool
    def get_weather(city: str) -> str:
        """Tells the current weather of a city."""
        return '{"temperature": 31, "sky": "cloudless"}'

    bound = able.bind_tools([get_weather])
    messages = [HumanMessage("What is the weather in Paris?")]
    messages.append(bound.invoke(messages))
    assert [(c["name"], c["args"]) for c in messages[-1].tool_calls] == [("get_weather", {"city": "Paris"})]
    messages += [get_weather.invoke(call) for call in messages[-1].tool_calls]
    assert able.bind_tools([get_weather], tool_choice="none").invoke(messages).text.strip()


def test_json_mode(able):
    structured = able.with_structured_output(City, method="json_mode")
    city = structured.invoke("Answer as JSON with the keys name and country: what is the capital of France?")
    assert (city.name, city.country) == ("Paris", "France")
