"""A stream's parts, joined, are the whole answer for the same seed, whatever is asked for: text, thinking, calls, log
probabilities, usage. For chats, completions and responses, by hypothesis.

PIPPIN_JOINED_EXAMPLES   how many requests for each API
"""

import collections
import json
import os

import hypothesis
import pytest
from hypothesis import strategies as st

import program

EXAMPLES = int(os.environ.get("PIPPIN_JOINED_EXAMPLES", "10"))
SETTINGS = hypothesis.settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(hypothesis.HealthCheck),
)
TEXTS = ["Name three rivers.", "Écris: 日本語 🙂", "1, 2, 3,", "def f(x):"]
STOPS = [" ", ".", "e", "\n", "the", "a b"]
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Oslo"]}, "note": {"type": "string", "maxLength": 8}},
    "required": ["city", "note"],
    "additionalProperties": False,
}
FUNCTION = {"name": "weather", "description": "Tells the weather.", "parameters": PARAMETERS}


@pytest.fixture(scope="module")
def server(model_file):
    # The model does not think by itself; a prompt that ends with the mark makes it.
    with program.Program("--context", 1024, "--reasoning-parser", "think", model=model_file) as running:
        yield running


def post(server, path, body):
    status, _, answer = server.request("POST", path, json.dumps(body).encode(), {"content-type": "application/json"})
    assert status == 200, (body, answer)
    return answer


def whole(server, path, body):
    return json.loads(post(server, path, body))


def events(server, path, body):
    """The data of each event, without the last [DONE]."""
    lines = post(server, path, body | {"stream": True}).decode().splitlines()
    data = [line[6:] for line in lines if line.startswith("data: ")]
    return [json.loads(line) for line in data if line != "[DONE]"]


@st.composite
def sampled(draw, limit):
    """What all three APIs take."""
    options = {
        "model": "default",
        limit: draw(st.integers(1, 24)),
        "temperature": draw(st.sampled_from([0, 0.7, 1.5])),
        "seed": draw(st.integers(0, 2**32)),
    }
    if draw(st.booleans()):
        options["stop"] = draw(st.lists(st.sampled_from(STOPS), min_size=1, max_size=2, unique=True))
    return options


def without_cache(usage):
    """What was found in the cache differs from one request to the next."""
    return {key: value for key, value in usage.items() if key not in ("prompt_tokens_details", "input_tokens_details")}


# --- Chats ---


@st.composite
def chats(draw):
    body = draw(sampled("max_tokens")) | {"n": draw(st.integers(1, 3))}
    body["messages"] = [{"role": "user", "content": draw(st.sampled_from(TEXTS))}]
    if draw(st.booleans()):
        body |= {"logprobs": True, "top_logprobs": draw(st.integers(0, 3))}
    form = draw(st.sampled_from(["text", "calls", "schema", "thinking"]))
    if form == "calls":
        named = {"type": "function", "function": {"name": "weather"}}
        body["tools"] = [{"type": "function", "function": FUNCTION}]
        body["tool_choice"] = draw(st.sampled_from(["required", named]))
        body["max_tokens"] += 40
    elif form == "schema":
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "a", "schema": PARAMETERS}}
        body["max_tokens"] += 20
    elif form == "thinking":
        body["messages"].append({"role": "assistant", "content": "<think>"})
        body |= {"continue_final_message": True, "add_generation_prompt": False}
        body["thinking_budget"] = draw(st.integers(0, 12))
    return body


def whole_choices(answer):
    """By index: what a choice says."""
    choices = {}
    for choice in answer["choices"]:
        message = choice["message"]
        calls = [(call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls", [])]
        scores = choice["logprobs"]["content"] if choice["logprobs"] else []
        content, thought = message["content"] or "", message.get("reasoning_content", "")
        choices[choice["index"]] = [content, thought, calls, scores, choice["finish_reason"]]
    return choices


def joined_choices(chunks):
    choices = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            to = choices.setdefault(choice["index"], ["", "", [], [], None])
            assert to[4] is None, "a delta after the choice's end"
            delta = choice["delta"]
            to[0] += delta.get("content") or ""
            to[1] += delta.get("reasoning_content", "")
            for piece in delta.get("tool_calls", []):
                if "id" in piece:
                    assert piece["index"] == len(to[2])
                    to[2].append((piece["function"]["name"], ""))
                name, arguments = to[2][piece["index"]]
                to[2][piece["index"]] = (name, arguments + piece["function"]["arguments"])
            to[3] += choice["logprobs"]["content"] if choice["logprobs"] else []
            to[4] = choice["finish_reason"]
    return choices


def test_chats(server):
    seen = collections.Counter()

    @SETTINGS
    @hypothesis.given(body=chats())
    def run(body):
        answer = whole(server, "/v1/chat/completions", body)
        options = {"stream_options": {"include_usage": True}}
        *chunks, last = events(server, "/v1/chat/completions", body | options)
        assert joined_choices(chunks) == whole_choices(answer)
        assert last["choices"] == [] and without_cache(last["usage"]) == without_cache(answer["usage"])
        for content, thought, calls, scores, reason in whole_choices(answer).values():
            seen.update(content=bool(content), thought=bool(thought), calls=bool(calls), scores=bool(scores))
            seen[reason] += 1

    run()
    if EXAMPLES >= 10:
        assert min(seen[kind] for kind in ("content", "thought", "calls", "scores", "stop", "length")) > 0, seen


# --- Completions ---


@st.composite
def completions(draw):
    body = draw(sampled("max_tokens")) | {"n": draw(st.integers(1, 2)), "echo": draw(st.booleans())}
    body["prompt"] = draw(st.one_of(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=2), st.just([[504, 3575]])))
    if draw(st.booleans()):
        body["logprobs"] = draw(st.integers(0, 3))
    if body["echo"] and draw(st.booleans()):
        body["max_tokens"] = 0
    elif draw(st.booleans()):
        body["regex"] = "[a-f]{2,9} [0-9]{3}"
    return body


def scores_of(choice):
    lists = choice["logprobs"] or {}
    return {name: lists.get(name, []) for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset")}


def test_completions(server):
    seen = collections.Counter()

    @SETTINGS
    @hypothesis.given(body=completions())
    def run(body):
        answer = whole(server, "/v1/completions", body)
        *chunks, last = events(server, "/v1/completions", body | {"stream_options": {"include_usage": True}})
        parts = collections.defaultdict(lambda: ["", collections.defaultdict(list), None])
        for choice in (choice for chunk in chunks for choice in chunk["choices"]):
            part = parts[choice["index"]]
            part[0] += choice["text"]
            for name, values in scores_of(choice).items():
                part[1][name] += values
            part[2] = choice["finish_reason"]
        expected = {c["index"]: [c["text"], scores_of(c), c["finish_reason"]] for c in answer["choices"]}
        assert {i: [text, dict(scores), reason] for i, (text, scores, reason) in parts.items()} == expected
        assert without_cache(last["usage"]) == without_cache(answer["usage"])
        for choice in answer["choices"]:
            seen.update(scores=bool(choice["logprobs"]), text=bool(choice["text"]))
            seen[choice["finish_reason"]] += 1

    run()
    if EXAMPLES >= 10:
        assert min(seen[kind] for kind in ("text", "scores", "stop", "length")) > 0, seen


# --- Responses ---


@st.composite
def responses(draw):
    body = draw(sampled("max_output_tokens")) | {"input": draw(st.sampled_from(TEXTS)), "store": False}
    if draw(st.booleans()):
        body |= {"include": ["message.output_text.logprobs"], "top_logprobs": draw(st.integers(0, 3))}
    form = draw(st.sampled_from(["text", "calls", "custom", "schema"]))
    if form == "calls":
        body |= {"tools": [{"type": "function", **FUNCTION}], "tool_choice": "required"}
    elif form == "custom":
        grammar = {"type": "grammar", "syntax": "regex", "definition": "[a-f]{3,9}"}
        body |= {"tools": [{"type": "custom", "name": "code", "format": grammar}]}
        body["tool_choice"] = {"type": "custom", "name": "code"}
    elif form == "schema":
        body["text"] = {"format": {"type": "json_schema", "name": "a", "schema": PARAMETERS}}
    if form != "text":
        body["max_output_tokens"] += 40
    return body


def said(item):
    """An item's kind, its text and the text's scores, without ids."""
    if item["type"] == "message":
        parts = item["content"]
        return "message", "".join(part["text"] for part in parts), [s for part in parts for s in part["logprobs"]]
    if item["type"] == "reasoning":
        return "reasoning", "".join(part["text"] for part in item["content"] + item["summary"]), []
    return item["type"], item["arguments" if item["type"] == "function_call" else "input"], []


def joined_items(stream):
    """The deltas of each item, joined."""
    items = {}
    for event in stream:
        if event["type"] == "response.output_item.added":
            assert event["output_index"] == len(items)
            items[event["output_index"]] = [event["item"]["type"], "", []]
        elif event["type"].endswith(".delta"):
            items[event["output_index"]][1] += event["delta"]
            items[event["output_index"]][2] += event.get("logprobs", [])
    return [tuple(item) for item in items.values()]


def test_responses(server):
    seen = collections.Counter()

    @SETTINGS
    @hypothesis.given(body=responses())
    def run(body):
        answer = whole(server, "/v1/responses", body)
        stream = events(server, "/v1/responses", body)
        last = stream[-1]["response"]
        expected = [said(item) for item in answer["output"]]
        assert joined_items(stream) == expected == [said(item) for item in last["output"]]
        assert without_cache(last["usage"]) == without_cache(answer["usage"])
        assert (last["status"], last["incomplete_details"]) == (answer["status"], answer["incomplete_details"])
        for kind, _, scores in expected:
            seen.update(scores=bool(scores))
            seen[kind] += 1
        seen[answer["status"]] += 1

    run()
    if EXAMPLES >= 10:
        kinds = ("message", "function_call", "custom_tool_call", "scores", "completed", "incomplete")
        assert min(seen[kind] for kind in kinds) > 0, seen
