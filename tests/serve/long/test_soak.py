"""The short form of bench/serve/soak.py: clients of every manner, a tiny KV cache, and all comes back at the end."""

import os
import sys
from pathlib import Path

import pytest

from program import Program

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "bench" / "serve"))
import soak  # noqa: E402

# So short, it is still warming up; and ThreadSanitizer's own memory grows with what is touched.
GROWTH_MAX = 2.0 if "TSAN_OPTIONS" in os.environ else 0.2


@pytest.mark.timeout(600)
def test_soak_of_twenty_seconds(server):
    with Program(*soak.TINY_KV) as running:
        figures = soak.soak(running.url, 20, 32, growth_max=GROWTH_MAX)
    assert not figures["failures"], figures
    assert figures["counts"]["answered"] >= 5, figures
