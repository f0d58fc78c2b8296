"""What is sampled with where a request says nothing: the same on every API, by the server's flags."""

import json

import pytest

from program import Program

LOCAL = {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05}
OPENAI = {"temperature": 1, "top_k": 0, "top_p": 1, "min_p": 0}
SAMPLERS = tuple(LOCAL)
MESSAGES = [{"role": "user", "content": "Tell me a story about a heron."}]


def post(server, path, **fields):
    body = json.dumps({"model": "default"} | fields).encode()
    status, _, answer = server.request("POST", path, body, {"content-type": "application/json"})
    assert status == 200, answer
    return json.loads(answer)


def of(settings, names=SAMPLERS):
    return {name: pytest.approx(settings[name], abs=1e-6) for name in names}


@pytest.mark.parametrize("flags, expected", [
    ((), LOCAL),
    (("--openai-defaults",), OPENAI),
    (("--temperature", 1), LOCAL | {"temperature": 1}),
    (("--openai-defaults", "--top-k", 30), OPENAI | {"top_k": 30}),
], ids=["none", "openai", "temperature", "both"])
def test_every_api_samples_by_the_flags(model_file, flags, expected):
    with Program("--context", 512, *flags, model=model_file) as server:
        props = json.loads(server.get("/props")[2])
        assert expected == of(props["default_generation_settings"]["params"])
        for path, fields in (("/completion", {"prompt": "a"}), ("/completions", {"prompt": "a"})):
            assert expected == of(post(server, path, n_predict=1, **fields)["generation_settings"]), path
        response = post(server, "/v1/responses", input="Hi.", max_output_tokens=16, store=False)
        two = ("temperature", "top_p")
        assert {name: expected[name] for name in two} == of(response, two)
        shown = dict(line.split() for line in post(server, "/api/show")["parameters"].splitlines())
        assert expected == {name: pytest.approx(float(shown[name]), abs=1e-6) for name in SAMPLERS}

        # What is told is what is done: the same draws give the same text, said or not.
        same = {"messages": MESSAGES, "max_tokens": 40, "seed": 11}
        silent = post(server, "/v1/chat/completions", **same)["choices"][0]["message"]["content"]
        said = post(server, "/v1/chat/completions", **same, **expected)["choices"][0]["message"]["content"]
        prompt = post(server, "/apply-template", messages=MESSAGES)["prompt"]
        completed = post(server, "/completion", prompt=prompt, n_predict=40, seed=11)["content"]
        assert silent == said == completed
        other = LOCAL if expected != LOCAL else OPENAI
        assert silent != post(server, "/v1/chat/completions", **same, **other)["choices"][0]["message"]["content"]


def test_infill_samples_by_the_flags(coder):
    answer = post(coder, "/infill", input_prefix="def f(x):\n    return ", input_suffix="\n", n_predict=1)
    props = json.loads(coder.get("/props")[2])["default_generation_settings"]["params"]
    names = ("repeat_last_n", "repeat_penalty", *SAMPLERS)
    assert {name: props[name] for name in names} == {name: answer["generation_settings"][name] for name in names}
