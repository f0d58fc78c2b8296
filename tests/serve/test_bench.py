"""`pippin bench --json`: a line of JSON for each test, whose figures are numbers."""

import json
import math
import subprocess

from program import program_path


def test_every_line_is_json_with_finite_speeds(model_file):
    # Single tokens: two may reach a reader that sleeps together, which is not how long they took.
    words = [str(program_path()), "bench", str(model_file), "--prompts", "16", "--rows", "1,4", "--depth", "16"]
    words += ["--generate", "1", "--repeats", "60", "--json"]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [(line["test"], line["rows"]) for line in lines] == [("pp16", 1), ("tg1 @ d16", 1), ("tg1 @ d16", 4)]
    for line in lines:
        assert 0 < line["lowest"] <= line["tok_s"] <= line["highest"] < math.inf, line
