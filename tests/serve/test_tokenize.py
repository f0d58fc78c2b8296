"""/v1/tokenize and /v1/detokenize of the running program."""

import json

import pytest

TEXT = "The naïve café, 日本語 🙂\n\tdef f(x): return x"


def post(server, path, **fields):
    status, _, body = server.request("POST", path, json.dumps(fields).encode(), {"content-type": "application/json"})
    return status, json.loads(body)


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_there_and_back(server, model, prefix):
    status, there = post(server, prefix + "/tokenize", model=model, prompt=TEXT, return_token_strs=True)
    assert status == 200
    assert there["count"] == len(there["tokens"]) == len(there["token_strs"])
    status, back = post(server, prefix + "/detokenize", tokens=there["tokens"])
    assert status == 200 and back["prompt"].endswith(TEXT)


def test_a_conversation_counts_as_its_prompt_does(server, client, model):
    messages = [{"role": "user", "content": "How are you?"}]
    _, counted = post(server, "/v1/tokenize", messages=messages)
    answer = client.chat.completions.create(model=model, messages=messages, max_tokens=1)
    assert counted["count"] == answer.usage.prompt_tokens


def test_tokens_are_a_prompt(server, client, model):
    _, there = post(server, "/v1/tokenize", prompt="The capital of France is")
    options = {"model": model, "max_tokens": 8, "temperature": 0}
    by_tokens = client.completions.create(prompt=there["tokens"], **options)
    by_text = client.completions.create(prompt="The capital of France is", **options)
    assert by_tokens.choices[0].text == by_text.choices[0].text


def test_wrong_tokens(server):
    status, body = post(server, "/v1/detokenize", tokens=[10**9])
    assert status == 400 and body["error"]["param"] == "tokens[0]"
