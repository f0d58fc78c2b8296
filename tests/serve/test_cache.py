"""What is computed once: a chat's next turn, a shared system prompt, the choices of one request."""

import json
import sys
from pathlib import Path

import pytest

from program import Program, wait_until

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench" / "serve"))
import probes  # noqa: E402  (the exact figures are bench/serve/probes.py's own; here they have generous bounds)

BLOCK = 16
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def large(server):
    """A server whose pool holds several long prompts; needs the first one's model."""
    with Program("--context", 8192) as running:
        yield running


@pytest.fixture(autouse=True)
def idle(large):
    yield
    wait_until(large.is_idle, 20, "nothing is left behind")


def test_a_second_turn_computes_only_what_is_new(large):
    figures = probes.second_turn(large.url)
    assert figures["history_tokens"] > 1900
    assert figures["cold_cached_tokens"] < 100, "the template's beginning at most"
    # All of the first turn was computed; its answer's last token was not, nor is what follows it cached.
    assert figures["history_tokens"] - BLOCK <= figures["cached_tokens"] < figures["prompt_tokens"]
    assert figures["share"] < 0.3, figures  # 0.1 on an idle machine


def test_a_shared_system_prompt_is_computed_once(large):
    figures = probes.shared_prompt(large.url)
    shared = figures["prompt_tokens"] - figures["own_tokens"]
    assert shared > 1400
    # Each computes its own question, and what lies between the last shared block and it.
    assert figures["computed_tokens"] <= figures["prompt_tokens"] + 20 * (figures["own_tokens"] + 2 * BLOCK)
    first, *others = figures["cached_tokens"]
    assert first < 100
    assert min(others) >= shared - 2 * BLOCK


def test_choices_share_their_prompt(large):
    figures = probes.choices(large.url)
    assert figures["prompt_tokens"] > 800
    assert figures["computed_tokens"] <= figures["prompt_tokens"] + 3 * BLOCK
    assert figures["cached_tokens"] < 100, "what a request's own choices share is not the caller's saving"
    assert 4 <= figures["completion_tokens"] <= 4 * 8


def test_several_prompts_in_one_request_share_their_beginning(large):
    before = large.engine()
    opening = probes.text_of(400, "several prompts")
    body = {"model": "default", "prompt": [f"{opening} {i}" for i in range(5)], "max_tokens": 2}
    status, _, _ = large.request("POST", "/v1/completions", json.dumps(body).encode())
    assert status == 200
    after = large.engine()
    asked = after["prefix_query_tokens"] - before["prefix_query_tokens"]
    assert asked > 5 * 400
    assert probes.computed_between(before, after) <= asked / 5 + 5 * 2 * BLOCK
