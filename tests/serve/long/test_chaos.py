"""The short form of bench/serve/chaos.py: a minute of sudden ends, full disks, clocks that jump and crowds."""

import os
import shutil
import sys
from pathlib import Path

import pytest

import program

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "bench" / "serve"))
import chaos  # noqa: E402


@pytest.mark.skipif("TSAN_OPTIONS" in os.environ or "ASAN_OPTIONS" in os.environ, reason="the clock is preloaded")
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler for the clock")
@pytest.mark.timeout(600)
def test_a_minute_of_chaos(model_file):
    figures = chaos.chaos(program.program_path(), model_file, 60, cut_readers=8)
    assert not figures["failures"], figures
    assert figures["counts"]["known"] >= 5 and figures["counts"]["batch result"] >= 12, figures
    assert figures["revoked_keys"] >= 3, figures
