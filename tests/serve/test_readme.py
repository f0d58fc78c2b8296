"""The commands of README.md, as written.

Each block of commands there has a marker before it: `<!-- commands: run -->` for what runs here, beside a server on
the default model; `<!-- commands: check -->` for what installs, fetches or starts other programs: of these the program
or script must exist and know each flag.
"""

import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

import program

ROOT = pathlib.Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"(?:<!-- commands: (\w+) -->\n)?```(\w*)\n(.*?)```", re.DOTALL)
PORT = "127.0.0.1:8000"


def blocks(text):
    """Returns (marker or None, language, text) of each block."""
    return [(match.group(1), match.group(2), match.group(3)) for match in BLOCK.finditer(text)]


def commands(block):
    """Returns the words of each line of a block in sh, without comments."""
    return [words for line in block.splitlines() if (words := shlex.split(line, comments=True))]


README = blocks((ROOT / "README.md").read_text())


def help_of(words):
    """Returns the text that tells the flags of a command, which must exist."""
    script = ROOT / words[0]
    if words[0] in ("build/release/pippin", "scripts/serve"):
        assert words[0] != "scripts/serve" or os.access(script, os.X_OK)
        verb = "serve" if words[0] == "scripts/serve" else words[1]
        shown = subprocess.run([program.program_path(), verb, "--help"], capture_output=True, text=True, timeout=30)
        assert shown.stdout.startswith(f"pippin {verb} "), f"{verb} is no command: {shown.stdout[:80]}{shown.stderr}"
        return shown.stdout
    assert os.access(script, os.X_OK), f"{words[0]} is no script here"
    return script.read_text()


def check(words):
    known = help_of(words)
    for word in words[1:]:
        if word.startswith("--"):
            assert re.search(re.escape(word.split("=")[0]) + r"\b", known), f"{' '.join(words)}: {word} is not known"


def test_every_block_says_whether_it_runs():
    assert [(language, text) for marker, language, text in README if marker not in ("run", "check")] == []
    assert {marker for marker, *_ in README} == {"run", "check"}


@pytest.mark.parametrize("words", [w for m, _, text in README if m == "check" for w in commands(text)], ids=" ".join)
def test_command_exists_and_knows_its_flags(built, words):
    check(words)


@pytest.mark.parametrize("line", ["scripts/nothing", "scripts/serve --prot 1", "build/release/pippin srve MODEL"])
def test_a_wrong_command_is_found(built, line):
    with pytest.raises(AssertionError):
        check(shlex.split(line))


@pytest.fixture(scope="module")
def beside(model_file, tmp_path_factory):
    """A server, and the folder and environment of a user who has built pippin and fetched the default model."""
    home = tmp_path_factory.mktemp("home")
    models = home / ".local/share/pippin/models"
    models.mkdir(parents=True)
    (models / "SmolLM2-135M-Instruct.Q4_1.gguf").symlink_to(model_file)
    build = home / "build/release"
    build.mkdir(parents=True)
    (build / "pippin").symlink_to(program.program_path().resolve())
    unset = ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "HF_HOME", "OLLAMA_MODELS")
    environment = {key: value for key, value in os.environ.items() if key not in unset} | {"HOME": str(home)}
    with program.Program("--context", 2048, model=model_file) as server:
        yield server, home, environment


@pytest.mark.parametrize("language, text", [(lang, text) for m, lang, text in README if m == "run"])
def test_block_runs_as_written(beside, language, text):
    server, home, environment = beside
    # Another port, as other tests may hold that one.
    text = text.replace(PORT, f"127.0.0.1:{server.port}").replace(
        "launch --print", f"launch --server http://127.0.0.1:{server.port} --print")
    start = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}[language]
    text = text.replace("curl ", "curl --silent --show-error --fail-with-body ")
    run = subprocess.run([*start, text], cwd=home, env=environment, capture_output=True, text=True, timeout=120,
                         stdin=subprocess.DEVNULL)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.strip()
    if "stream" in text:
        assert "data: [DONE]" in run.stdout
    if " list" in text:
        assert "SmolLM2-135M-Instruct.Q4_1" in run.stdout
