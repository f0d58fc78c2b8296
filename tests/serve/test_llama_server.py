"""llama-server's own routes of the running program."""

import json

import pytest

PROMPT = "The capital of France is"
GREEDY = {"temperature": 0, "n_predict": 16}


def post(server, path, **fields):
    status, _, body = server.request("POST", path, json.dumps(fields).encode(), {"content-type": "application/json"})
    return status, json.loads(body)


def events(server, path, **fields):
    body = json.dumps(fields | {"stream": True}).encode()
    status, headers, answer = server.request("POST", path, body, {"content-type": "application/json"})
    assert status == 200 and headers["Content-Type"].startswith("text/event-stream")
    lines = [line for line in answer.decode().split("\n\n") if line]
    assert all(line.startswith("data: {") for line in lines)
    return [json.loads(line[6:]) for line in lines]


@pytest.mark.parametrize("path", ["/completion", "/completions"])
def test_completion(server, client, model, path):
    status, answer = post(server, path, prompt=PROMPT, **GREEDY)
    assert status == 200
    other = client.completions.create(model=model, prompt=PROMPT, temperature=0, max_tokens=16)
    assert answer["content"] == other.choices[0].text
    assert answer["stop_type"] == "limit" and answer["tokens_predicted"] == 16
    assert answer["tokens_evaluated"] == other.usage.prompt_tokens
    timings = answer["timings"]
    assert timings["predicted_n"] == 16 and timings["predicted_ms"] > 0
    assert timings["prompt_n"] + timings["cache_n"] == answer["tokens_evaluated"]


def test_stream_equals_whole_answer(server):
    _, whole = post(server, "/completion", prompt=PROMPT, return_tokens=True, **GREEDY)
    parts = events(server, "/completion", prompt=PROMPT, timings_per_token=True, **GREEDY)
    assert "".join(part["content"] for part in parts) == whole["content"]
    assert [token for part in parts for token in part["tokens"]] == whole["tokens"]
    assert [part["stop"] for part in parts] == [False] * (len(parts) - 1) + [True]
    assert all(part["timings"]["predicted_ms"] >= 0 for part in parts)


def test_probabilities(server):
    _, answer = post(server, "/completion", prompt=PROMPT, n_probs=3, temperature=0, n_predict=4)
    assert len(answer["completion_probabilities"]) == 4
    for token in answer["completion_probabilities"]:
        assert len(token["top_logprobs"]) == 3 and token["id"] == token["top_logprobs"][0]["id"]
        assert bytes(token["bytes"]).decode() == token["token"]


def test_several_prompts(server):
    _, tokens = post(server, "/tokenize", content=PROMPT)
    status, answers = post(server, "/completion", prompt=[PROMPT, tokens["tokens"]], **GREEDY)
    assert status == 200
    assert [answer["index"] for answer in answers] == [0, 1]
    assert answers[0]["content"] == answers[1]["content"]


def test_a_schema_and_a_grammar_hold_the_answer(server):
    number = {"type": "integer", "maximum": 99}
    schema = {"type": "object", "properties": {"n": number}, "required": ["n"], "additionalProperties": False}
    options = {"temperature": 0, "n_predict": 60, "prompt": "A number as JSON: "}
    _, answer = post(server, "/completion", json_schema=schema, **options)
    assert isinstance(json.loads(answer["content"])["n"], int)
    _, answer = post(server, "/completion", grammar='root ::= "yes" | "no"', **options)
    assert answer["content"] in ("yes", "no") and answer["stop_type"] == "eos"


def test_a_bias_bans_and_forces(server):
    _, free = post(server, "/completion", prompt=PROMPT, return_tokens=True, temperature=0, n_predict=1)
    [token] = free["tokens"]
    options = {"prompt": PROMPT, "return_tokens": True, "temperature": 0}
    _, banned = post(server, "/completion", n_predict=1, logit_bias=[[token, False]], **options)
    assert banned["tokens"] != [token]
    _, forced = post(server, "/completion", n_predict=2, logit_bias=[[500, 100]], **options)
    assert forced["tokens"] == [500, 500]


def test_cache_prompt(server):
    prompt = "A long beginning of a story about a fox, a hen and a stone. " * 8
    post(server, "/completion", prompt=prompt, n_predict=1)
    assert post(server, "/completion", prompt=prompt, n_predict=1)[1]["tokens_cached"] > 50
    assert post(server, "/completion", prompt=prompt, n_predict=1, cache_prompt=False)[1]["tokens_cached"] == 0


def test_tokens_there_and_back(server):
    text = "The naïve café, 日本語 🙂"
    _, there = post(server, "/tokenize", content=text, with_pieces=True)
    pieces = [token["piece"] for token in there["tokens"]]
    joined = b"".join(piece.encode() if isinstance(piece, str) else bytes(piece) for piece in pieces)
    assert joined.decode() == text
    _, back = post(server, "/detokenize", tokens=[token["id"] for token in there["tokens"]])
    assert back["content"] == text
    assert post(server, "/tokenize", prompt=text)[1]["count"] == len(there["tokens"])


def test_apply_template_is_what_chat_reads(server, client, model):
    messages = [{"role": "user", "content": "How are you?"}]
    _, applied = post(server, "/apply-template", messages=messages)
    assert "How are you?" in applied["prompt"]
    chat = client.chat.completions.create(model=model, messages=messages, temperature=0, max_tokens=8)
    _, completed = post(server, "/completion", prompt=applied["prompt"], temperature=0, n_predict=8, min_p=0, top_k=0)
    assert completed["content"] == chat.choices[0].message.content


def test_props_and_slots(server, model):
    props = json.loads(server.get("/props")[2])
    assert props["model_alias"] == model and props["model_path"].endswith(".gguf")
    assert props["default_generation_settings"]["n_ctx"] == 2048 and "im_start" in props["chat_template"]
    settings = props["default_generation_settings"]["params"]
    assert [round(settings[name], 3) for name in ("temperature", "top_k", "top_p", "min_p")] == [0.8, 40, 0.95, 0.05]
    # What /completion takes where a request says nothing.
    said = post(server, "/completion", prompt="a", n_predict=1)[1]["generation_settings"]
    defaults = props["default_generation_settings"]["params"]
    for name in ("temperature", "top_k", "top_p", "min_p", "repeat_last_n", "repeat_penalty"):
        assert defaults[name] == said[name], name
    slots = json.loads(server.get("/slots")[2])
    assert len(slots) == props["total_slots"]
    assert all(slot["n_ctx"] == 2048 for slot in slots)


def test_infill_without_the_tokens_for_it(server):
    status, answer = post(server, "/infill", input_prefix="a", input_suffix="b", n_predict=4)
    if status == 200:
        assert answer["tokens_predicted"] <= 4
    else:
        assert status == 400 and "middle" in answer["error"]["message"]


def test_wrong_fields_are_named(server):
    for fields, param in (
        ({}, "prompt"),
        ({"prompt": "x", "n_predict": "many"}, "n_predict"),
        ({"prompt": "x", "samplers": ["magic"]}, "samplers[0]"),
        ({"prompt": "x", "logit_bias": [[1]]}, "logit_bias[0]"),
        ({"prompt": "x", "n_probs": 99}, "n_probs"),
    ):
        status, answer = post(server, "/completion", **fields)
        assert status == 400 and answer["error"]["param"] == param
