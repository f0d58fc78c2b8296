"""The openai package against the running program."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import openai
import pydantic
import pytest

from conftest import CONTEXT_TOKENS
from program import wait_until

QUESTION = [{"role": "user", "content": "Name three rivers of Europe and one fact about each."}]
PROMPTS = [
    "The capital of France is",
    "def fibonacci(n):",
    "Once upon a time, in a small village by the sea,",
    "The three laws of motion are",
    "SELECT name FROM users WHERE",
    "To bake bread you need",
    "In 1969, Neil Armstrong",
    "Roses are red, violets are",
]


def chat(client, model, messages=QUESTION, **options):
    options = {"temperature": 0, "max_tokens": 40} | options
    return client.chat.completions.create(model=model, messages=messages, **options)


def complete(client, model, prompt, **options):
    options = {"temperature": 0, "max_tokens": 40} | options
    return client.completions.create(model=model, prompt=prompt, **options)


class Streamed:
    """A chat stream, read to its end."""

    def __init__(self, stream):
        self.texts, self.finish_reasons, self.usages, self.ids = {}, {}, [], set()
        for chunk in stream:
            self.ids.add(chunk.id)
            if chunk.usage:
                assert chunk.choices == []
                self.usages.append(chunk.usage)
            for choice in chunk.choices:
                assert choice.index not in self.finish_reasons, "a delta after the choice's end"
                self.texts[choice.index] = self.texts.get(choice.index, "") + (choice.delta.content or "")
                if choice.finish_reason:
                    self.finish_reasons[choice.index] = choice.finish_reason


# --- Models ---


def test_models(client, model):
    listed = client.models.list().data
    assert [entry.id for entry in listed] == [model]
    assert client.models.retrieve(model).id == model
    assert listed[0].object == "model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no/such-model")


# --- Chat ---


def test_chat(client, model):
    answer = chat(client, model)
    choice = answer.choices[0]
    assert (answer.object, answer.model) == ("chat.completion", model)
    assert (choice.index, choice.message.role) == (0, "assistant")
    assert choice.message.content.strip()
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_default_names_the_served_model(client, model):
    assert chat(client, "default").model == model


def test_max_tokens_is_exact(client, model):
    answer = chat(client, model, max_tokens=7)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 7
    assert chat(client, model, max_tokens=openai.omit, max_completion_tokens=3).usage.completion_tokens == 3


def test_stream_equals_whole_answer(client, model):
    whole = chat(client, model)
    streamed = Streamed(chat(client, model, stream=True, stream_options={"include_usage": True}))
    assert streamed.texts == {0: whole.choices[0].message.content}
    assert streamed.finish_reasons == {0: whole.choices[0].finish_reason}
    assert len(streamed.ids) == 1
    assert [(u.prompt_tokens, u.completion_tokens) for u in streamed.usages] == [
        (whole.usage.prompt_tokens, whole.usage.completion_tokens)
    ]
    assert Streamed(chat(client, model, stream=True)).usages == []


def test_history_is_part_of_the_prompt(client, model):
    system = {"role": "system", "content": "Answer briefly."}
    short = chat(client, model, [system, *QUESTION], max_tokens=1).usage.prompt_tokens
    history = [system, *QUESTION, {"role": "assistant", "content": "The Rhine."}, *QUESTION]
    assert chat(client, model, history, max_tokens=1).usage.prompt_tokens > short + 10


def test_content_parts(client, model):
    parts = [{"role": "user", "content": [{"type": "text", "text": QUESTION[0]["content"]}]}]
    assert chat(client, model, parts).choices[0].message.content == chat(client, model).choices[0].message.content


@pytest.mark.parametrize("stream", [False, True])
def test_stop_strings_cut_the_text_before_them(client, model, stream):
    full = chat(client, model).choices[0].message.content
    stop = full[len(full) // 2 :][:5]
    answer = chat(client, model, stop=[stop, "never in there"], stream=stream)
    if stream:
        streamed = Streamed(answer)
        text, reason = streamed.texts[0], streamed.finish_reasons[0]
    else:
        text, reason = answer.choices[0].message.content, answer.choices[0].finish_reason
    assert text == full[: full.index(stop)]
    assert reason == "stop"


def test_seed_makes_sampling_repeatable(client, model):
    def text(seed):
        return chat(client, model, temperature=1.0, seed=seed).choices[0].message.content

    assert text(7) == text(7)
    assert len({text(seed) for seed in range(4)}) > 1


@pytest.mark.parametrize("stream", [False, True])
def test_several_choices(client, model, stream):
    options = {"n": 2, "temperature": 1.0, "seed": 11, "stream": stream}
    answer = chat(client, model, **options)
    if stream:
        streamed = Streamed(answer)
        assert set(streamed.finish_reasons) == {0, 1}
        texts = [streamed.texts[0], streamed.texts[1]]
    else:
        assert [choice.index for choice in answer.choices] == [0, 1]
        texts = [choice.message.content for choice in answer.choices]
    assert texts[0] != texts[1]
    greedy = chat(client, model, n=2).choices
    assert greedy[0].message.content == greedy[1].message.content


def test_logit_bias_forces_and_bans(client, model):
    token = "500"
    forced = complete(client, model, PROMPTS[0], logit_bias={token: 100}, max_tokens=4).choices[0].text
    unit = forced[: len(forced) // 4]
    assert unit and forced == unit * 4
    first = complete(client, model, PROMPTS[0], max_tokens=1, logprobs=1).choices[0]
    assert complete(client, model, PROMPTS[0], max_tokens=1).choices[0].text == first.text
    banned = complete(client, model, PROMPTS[0], max_tokens=4, logit_bias={token: -100}).choices[0].text
    assert unit * 4 != banned


def test_logprobs_are_of_the_text(client, model):
    answer = chat(client, model, logprobs=True, top_logprobs=3, max_tokens=8).choices[0]
    entries = answer.logprobs.content
    assert len(entries) == 8
    assert b"".join(bytes(entry.bytes) for entry in entries).startswith(answer.message.content.encode())
    for entry in entries:
        assert entry.logprob <= 0 and len(entry.top_logprobs) == 3
        assert entry.token == entry.top_logprobs[0].token, "greedy takes the most probable"


# --- Helpers of the package ---


class City(pydantic.BaseModel):
    """Tells the weather of a city."""

    city: Literal["Paris", "Oslo"]
    days: int


def test_the_stream_helper_builds_the_whole_answer(client, model):
    options = {"model": model, "messages": QUESTION, "max_tokens": 200, "temperature": 1, "seed": 5, "n": 2}
    options |= {"logprobs": True, "top_logprobs": 2, "stop": [".", ","]}  # the helper takes no answer that is cut off
    whole = client.chat.completions.create(**options)
    with client.chat.completions.stream(**options, stream_options={"include_usage": True}) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert kinds >= {"chunk", "content.delta", "content.done", "logprobs.content.delta", "logprobs.content.done"}
    assert final.usage.completion_tokens == whole.usage.completion_tokens
    for streamed, choice in zip(final.choices, whole.choices, strict=True):
        assert (streamed.message.content, streamed.finish_reason) == (choice.message.content, choice.finish_reason)
        assert streamed.logprobs.content == choice.logprobs.content


def test_parse_with_pydantic_whole_and_streamed(client, model):
    options = {"model": model, "messages": QUESTION, "max_tokens": 100, "temperature": 0, "response_format": City}
    parsed = client.chat.completions.parse(**options).choices[0].message.parsed
    assert isinstance(parsed, City)
    with client.chat.completions.stream(**options) as stream:
        partial = [event.parsed for event in stream if event.type == "content.delta"]
        assert stream.get_final_completion().choices[0].message.parsed == parsed
    assert partial[-1] == parsed.model_dump()


def test_a_tool_by_pydantic_is_parsed(client, model):
    options = {"model": model, "messages": QUESTION, "max_tokens": 120, "temperature": 0, "tool_choice": "required"}
    options |= {"tools": [openai.pydantic_function_tool(City)], "parallel_tool_calls": False}
    [call] = client.chat.completions.parse(**options).choices[0].message.tool_calls
    assert isinstance(call.function.parsed_arguments, City)
    with client.chat.completions.stream(**options) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        [streamed] = stream.get_final_completion().choices[0].message.tool_calls
    assert [event.parsed_arguments for event in done] == [call.function.parsed_arguments]
    assert streamed.function.arguments == call.function.arguments


def test_a_custom_tool_is_called_with_a_text(client, model):
    grammar = {"syntax": "regex", "definition": "(red|green|blue) (wall|door)"}
    paint = {"name": "paint", "description": "Paints.", "format": {"type": "grammar", "grammar": grammar}}
    options = {"tools": [{"type": "custom", "custom": paint}]}
    options |= {"tool_choice": {"type": "custom", "custom": {"name": "paint"}}}
    question = [{"role": "user", "content": "Paint the door red."}]
    choice = chat(client, model, question, **options).choices[0]
    [call] = choice.message.tool_calls
    assert choice.finish_reason == "tool_calls" and call.type == "custom" and call.custom.name == "paint"
    assert call.custom.input.split()[1] in ("wall", "door")
    pieces = []
    for chunk in chat(client, model, question, stream=True, **options):
        pieces += chunk.choices[0].delta.tool_calls or []
    assert pieces[0].id.startswith("call_") and pieces[0].custom["name"] == "paint"
    assert "".join(piece.custom["input"] for piece in pieces) == call.custom.input
    answer = {"role": "tool", "tool_call_id": call.id, "content": "done"}
    assert chat(client, model, [*question, choice.message, answer], **options).choices[0].message.tool_calls


def test_an_answer_that_is_cut_off_is_not_parsed(client, model):
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(model=model, messages=QUESTION, max_tokens=2, response_format=City)


def test_the_asynchronous_client(server, model):
    async def ask():
        async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0) as client:
            options = {"model": model, "messages": QUESTION, "max_tokens": 10, "temperature": 0}
            whole, stream = await asyncio.gather(
                client.chat.completions.create(**options), client.chat.completions.create(**options, stream=True)
            )
            pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
            assert "".join(pieces) == whole.choices[0].message.content

    asyncio.run(ask())


# --- Completions ---


def test_completion(client, model):
    answer = complete(client, model, PROMPTS[0])
    assert answer.object == "text_completion"
    assert answer.choices[0].text
    streamed = "".join(
        choice.text for chunk in complete(client, model, PROMPTS[0], stream=True) for choice in chunk.choices
    )
    assert streamed == answer.choices[0].text


def test_several_prompts(client, model):
    together = complete(client, model, PROMPTS[:3]).choices
    assert [choice.index for choice in together] == [0, 1, 2]
    for prompt, choice in zip(PROMPTS, together):
        assert choice.text == complete(client, model, prompt).choices[0].text


def test_echo(client, model):
    assert complete(client, model, PROMPTS[0], echo=True).choices[0].text.startswith(PROMPTS[0])


# --- Many at once ---


def test_parallel_greedy_streams_equal_their_solo_output(client, model):
    def stream(prompt):
        chunks = complete(client, model, prompt, stream=True, max_tokens=64)
        return "".join(choice.text for chunk in chunks for choice in chunk.choices)

    alone = [stream(prompt) for prompt in PROMPTS]
    with ThreadPoolExecutor(len(PROMPTS)) as pool:
        assert list(pool.map(stream, PROMPTS)) == alone


def test_killed_clients_free_their_blocks(server, client, model):
    wait_until(server.is_idle, 10, "idle before the test")
    endless = {"max_tokens": CONTEXT_TOKENS - 200, "extra_body": {"ignore_eos": True}}
    streams = [chat(client, model, stream=True, **endless) for _ in range(4)]
    wait_until(lambda: server.engine()["running"] == 4, 20, "four requests run")
    for stream in streams:
        stream.close()
    wait_until(server.is_idle, 5, "the blocks of left streams are free")


def test_killed_client_of_a_whole_answer_frees_its_blocks(server, client, model):
    wait_until(server.is_idle, 10, "idle before the test")
    with pytest.raises(openai.APITimeoutError):
        chat(client.with_options(timeout=0.5), model, max_tokens=CONTEXT_TOKENS - 200, extra_body={"ignore_eos": True})
    wait_until(server.is_idle, 5, "the blocks of a left request are free")


# --- Errors ---


def test_unknown_model(client):
    with pytest.raises(openai.NotFoundError) as caught:
        chat(client, "no-such-model")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize(
    "options, param",
    [
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "nobody", "content": "x"}]}, "messages[0].role"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": -1}, "temperature"),
        ({"top_p": 2}, "top_p"),
        ({"n": 0}, "n"),
        ({"stop": 7}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"logit_bias": {"x": 1}}, "logit_bias.x"),
    ],
    ids=str,
)
def test_wrong_fields_are_named(client, model, options, param):
    with pytest.raises(openai.BadRequestError) as caught:
        chat(client, model, **({"messages": QUESTION} | options))
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"
    assert caught.value.message


@pytest.mark.parametrize("stream", [False, True])
def test_context_length_is_told_with_both_numbers(client, model, stream):
    words = CONTEXT_TOKENS + 500
    with pytest.raises(openai.BadRequestError) as caught:
        chat(client, model, [{"role": "user", "content": "hello " * words}], stream=stream)
    assert caught.value.code == "context_length_exceeded"
    numbers = [int(word) for word in caught.value.message.replace(",", " ").replace(".", " ").split() if word.isdigit()]
    assert CONTEXT_TOKENS in numbers
    assert any(number >= words for number in numbers)


def test_request_id_comes_back(client, model):
    raw = client.chat.completions.with_raw_response.create(
        model=model, messages=QUESTION, max_tokens=1, extra_headers={"x-request-id": "my-id-1"}
    )
    assert raw.headers["x-request-id"] == "my-id-1"


def test_unknown_path(client):
    with pytest.raises(openai.NotFoundError):
        client.get("/nowhere", cast_to=object)
