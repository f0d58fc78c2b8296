"""The systemd unit of packaging/: its command exists, it stays hardened, and the program runs under what it forbids."""

import ctypes
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from program import Program, program_path

UNIT = Path(__file__).parents[2] / "packaging/pippin.service"
EXPOSURE_MAX = 2.0  # of 10; docs/operations.md tells the score
PR_SET_NO_NEW_PRIVS, PR_SET_MDWE = 38, 65


def setting(name):
    return re.findall(rf"(?m)^{name}=(.*)$", UNIT.read_text())


def test_its_command_has_flags_that_exist():
    program, command, *flags = shlex.split(setting("ExecStart")[0])
    assert Path(program).name == "pippin"
    help_text = subprocess.run([program_path(), command, "--help"], capture_output=True, text=True, check=True).stdout
    for flag in (word for word in flags if word.startswith("--")):
        assert flag in help_text, flag


def test_it_waits_for_a_drain():
    text = subprocess.run([program_path(), "serve", "--help"], capture_output=True, text=True, check=True).stdout
    assert "--drain" in text and int(setting("TimeoutStopSec")[0]) > 30 + 30


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")
def test_its_exposure_is_low():
    run = subprocess.run(["systemd-analyze", "security", "--offline=true", str(UNIT)], capture_output=True, text=True)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", run.stdout)
    if not found:
        pytest.skip("this systemd-analyze knows no --offline")
    assert float(found[1]) <= EXPOSURE_MAX, run.stdout
    documents = (UNIT.parents[1] / "docs/operations.md").read_text()
    assert f"exposure of {found[1]}" in documents


def forbid():
    """What NoNewPrivileges and MemoryDenyWriteExecute do, as far as this kernel knows it."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(PR_SET_MDWE, 1, 0, 0, 0)


def test_the_program_answers_under_its_restrictions(model_file):
    with Program("--context", 512, model=model_file, before_start=forbid) as server:
        body = {"model": "default", "prompt": "Once", "max_tokens": 4}
        headers = {"content-type": "application/json"}
        assert server.request("POST", "/v1/completions", json.dumps(body).encode(), headers)[0] == 200
