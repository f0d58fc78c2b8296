"""pippin pull, list, show, rm, alias, ps, stop, and serving by name, through the program, from a hub on loopback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "hub"))
import fake_hub  # noqa: E402
import program  # noqa: E402

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture
def house(model_file):
    servers = fake_hub.House()
    servers.repos["org/smol"] = {FILE: model_file.read_bytes(), "odd-Q8_0.gguf": fake_hub.gguf("nonesuch")}
    yield servers
    servers.close()


@pytest.fixture
def home(house, tmp_path, monkeypatch):
    """A home folder of its own, and the hub, for this process's children."""
    for name in list(os.environ):
        if name.startswith(("HF_", "XDG_", "OLLAMA_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", house.url("hub"))
    return tmp_path


def pippin(*arguments):
    run = subprocess.run([program.program_path(), *map(str, arguments)], capture_output=True, text=True, timeout=120)
    return run.returncode, run.stdout, run.stderr


def test_a_model_is_served_by_its_name_and_stopped(home, house):
    assert pippin("alias", "small", "hf:org/smol:Q4_1")[0] == 0
    # What is not here is fetched; the alias and the full name are understood in the API.
    with program.Program("--context", 256, model="small") as running:
        (model,) = json.loads(running.get("/v1/models")[2])["data"]
        assert model["id"] == FILE.removesuffix(".gguf")
        assert {"small", "hf:org/smol:Q4_1"} <= set(model["aliases"])
        body = {"model": "small", "prompt": "One two three", "max_tokens": 2}
        status, _, answer = running.request("POST", "/v1/completions", json.dumps(body).encode())
        assert status == 200, answer
        code, out, err = pippin("ps", "--server", running.url)
        assert code == 0 and model["id"] in out, err
        assert json.loads(pippin("ps", "--server", running.url, "--json")[1])["pid"] == running.process.pid
        # Stopping waits for the end, which its parent must see.
        stopping = subprocess.Popen([program.program_path(), "stop", "--server", running.url])
        assert running.process.wait(60) == 0
        assert stopping.wait(60) == 0
    code, _, err = pippin("ps", "--server", running.url)
    assert code == 1 and "no server answers" in err


def test_pull_list_show_rm(home, house):
    code, out, err = pippin("pull", "hf:org/smol:q4_1")
    assert code == 0, err
    path = Path(out.splitlines()[-1])
    assert path.name == FILE and path.stat().st_size == program.model_path().stat().st_size
    (listed,) = json.loads(pippin("list", "--json")[1])
    assert (listed["name"], listed["path"]) == ("hf:org/smol:Q4_1", str(path))
    shown = pippin("show", listed["name"])[1]
    assert "llama" in shown and "can be served  yes" in shown
    assert pippin("rm", listed["name"])[0] == 0
    assert not path.exists() and json.loads(pippin("list", "--json")[1]) == []


def test_what_this_build_cannot_serve_is_refused_before_it_comes(home, house):
    code, _, err = pippin("pull", "hf:org/smol:Q8_0")
    assert code == 1 and "nonesuch" in err and "nothing was fetched" in err
    assert not list(home.rglob("blobs"))
    assert pippin("pull", "hf:org/smol:Q8_0", "--any")[0] == 0
    assert "can be served  no" in pippin("show", "hf:org/smol:Q8_0")[1]


@pytest.mark.parametrize("name", ["hf:../x", "hf:a/b:../x.gguf", "ollama:../x", "https://example.org/x", "nothing"])
def test_wrong_names_are_errors(home, name):
    for command in ("pull", "show", "rm", "serve"):
        code, out, err = pippin(command, name)
        assert code in (1, 2) and out == "" and err.startswith("pippin: "), (command, err)
