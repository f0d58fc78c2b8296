"""A short request beside a long one: it does not wait for the other's end, and no stream stands still."""

import sys
from pathlib import Path

import pytest

from program import Program, wait_until

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench" / "serve"))
import probes  # noqa: E402


@pytest.mark.timeout(600)
def test_a_short_request_beside_a_long_prefill(server):
    with Program("--context", 8192, "--step-target", 200) as running:
        figures = probes.fairness(running.url, long_words=2600)
        wait_until(running.is_idle, 20, "nothing is left behind")
    assert figures["long_tokens"] > 3500 and figures["short_tokens"] < 60
    assert figures["still_prefilling"], "the long prompt was done before it mattered"
    # The chunk under way, its own, and one each for the way in and the way back of the test's own questions.
    assert figures["steps_to_first_token"] <= 4, figures
    # The stream had a token in every chunk, and no chunk was as long as the prompt's whole computation.
    assert figures["stream_tokens_meanwhile"] >= 8, figures
    assert figures["longest_pause_s"] < max(1.0, figures["long_first_s"] / 4), figures
