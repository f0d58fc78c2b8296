"""/v1/completions of the running program: several answers, scores, and filling in the middle."""

import openai
import pytest

from program import Program, coder_path

PROMPT = "The capital of France is"


def complete(client, prompt=PROMPT, **options):
    options = {"model": "default", "temperature": 0, "max_tokens": 8} | options
    return client.completions.create(prompt=prompt, **options)


def test_lists_of_prompts_of_both_kinds(client):
    one = complete(client).choices[0].text
    answer = complete(client, [PROMPT, PROMPT], n=2, temperature=0)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert {choice.text for choice in answer.choices} == {one}


def test_best_of_returns_the_most_probable(client):
    options = {"temperature": 1.5, "seed": 3, "max_tokens": 6, "logprobs": 0}
    everything = complete(client, n=6, **options).choices
    best = complete(client, best_of=6, n=2, **options)

    def mean(choice):
        return sum(choice.logprobs.token_logprobs) / len(choice.logprobs.token_logprobs)

    expected = sorted(everything, key=mean, reverse=True)[:2]
    assert [choice.text for choice in best.choices] == [choice.text for choice in expected]
    assert best.usage.completion_tokens >= 6 * 2
    with pytest.raises(openai.BadRequestError):
        complete(client, best_of=6, stream=True)


def test_echo_with_logprobs_scores_the_prompt(client):
    choice = complete(client, echo=True, logprobs=1, max_tokens=0).choices[0]
    assert choice.text == PROMPT
    assert choice.logprobs.token_logprobs[0] is None
    assert all(score <= 0 for score in choice.logprobs.token_logprobs[1:])
    assert "".join(choice.logprobs.tokens) == PROMPT


def test_usage_of_a_stream(client):
    *_, last = complete(client, stream=True, stream_options={"include_usage": True})
    assert last.choices == [] and last.usage.completion_tokens == 8


def test_a_model_without_marks_refuses_a_suffix_by_name(client, server):
    if "smollm2" not in str(client.models.list().data[0].id).lower():
        pytest.skip("another model may have them")
    with pytest.raises(openai.BadRequestError) as caught:
        complete(client, "def f(", suffix="return x")
    assert caught.value.param == "suffix"


def test_fills_in_the_middle():
    if coder_path() is None:
        pytest.skip("no coding model in PIPPIN_TEST_MODELS")
    with Program("--context", 512, model=coder_path()) as running:
        with openai.OpenAI(base_url=running.url + "/v1", api_key="none") as client:
            prefix = "def add(a, b):\n    return "
            answer = complete(client, prefix, suffix="\n\nprint(add(1, 2))\n", max_tokens=24)
            assert answer.choices[0].text.strip().startswith("a + b")
            assert answer.choices[0].finish_reason == "stop"
