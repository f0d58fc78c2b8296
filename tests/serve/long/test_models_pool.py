"""Several models under one memory budget: two that take turns, what is told of them, and how they go."""

import concurrent.futures
import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import anthropic
import ollama
import openai
import pytest

import program
from program import Program, wait_until

MIB = 1 << 20
SMOL = "SmolLM2-135M-Instruct.Q4_1"
# Each takes about 210 MB.
FLAGS = ("--context", 512, "--kv-memory", "24MB", "--max-num-seqs", 8, "--memory", "300MB")
ASKS = {"messages": [{"role": "user", "content": "Say hi."}], "max_tokens": 4, "temperature": 0}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A server of two models, of which its memory holds one."""
    double = tmp_path_factory.mktemp("models") / "double.gguf"
    double.symlink_to(program.model_path())
    with Program(double, *FLAGS) as running:
        yield running


def names(running):
    return [model["id"] for model in json.loads(running.get("/v1/models")[2])["data"]]


def statuses(running):
    return {model["id"]: model["status"] for model in json.loads(running.get("/v1/models")[2])["data"]}


def post(running, path, body, timeout_s=120):
    status, _, answer = running.request(
        "POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"}, timeout_s
    )
    return status, json.loads(answer)


def memory(running):
    return json.loads(running.get("/v1/status")[2])["memory"]


def threads_of(running):
    return len(list(Path(f"/proc/{running.process.pid}/task").iterdir()))


def resident(running):
    return json.loads(running.get("/v1/status")[2])["resident_bytes"]


def asker(running):
    """How to ask, one way after another, over all APIs; each returns the answer's text, or fails."""
    openai_client = openai.OpenAI(base_url=running.url + "/v1", api_key="none", max_retries=0, timeout=120)
    anthropic_client = anthropic.Anthropic(base_url=running.url, api_key="none", max_retries=0, timeout=120)
    ollama_client = ollama.Client(running.url, timeout=120)
    messages = ASKS["messages"]

    def chat(model):
        return openai_client.chat.completions.create(model=model, **ASKS).choices[0].message.content

    def chat_stream(model):
        chunks = list(openai_client.chat.completions.create(model=model, stream=True, **ASKS))
        assert chunks[-1].choices[0].finish_reason
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    def message(model):
        return anthropic_client.messages.create(model=model, messages=messages, max_tokens=4).content[0].text

    def message_stream(model):
        with anthropic_client.messages.stream(model=model, messages=messages, max_tokens=4) as stream:
            return stream.get_final_text()

    def response(model):
        asked = {"input": "Say hi.", "max_output_tokens": 16, "store": False}
        return openai_client.responses.create(model=model, **asked).output_text

    def ollama_chat(model):
        return ollama_client.chat(model, messages, options={"num_predict": 4, "temperature": 0}).message.content

    def ollama_stream(model):
        parts = list(ollama_client.generate(model, "Say hi.", stream=True, options={"num_predict": 4}))
        assert parts[-1].done
        return "".join(part.response for part in parts)

    return [chat, chat_stream, message, message_stream, response, ollama_chat, ollama_stream]


@pytest.mark.timeout(900)
def test_two_hundred_requests_that_alternate(both):
    first, second = names(both)
    ways = asker(both)
    for model in (first, second, first, second):  # what is allocated once is there
        assert ways[0](model)
    before, threads = resident(both), threads_of(both)
    limit = memory(both)["budget_bytes"]
    most = 0
    for i in range(196):
        assert ways[i % len(ways)]((first, second)[i % 2]), i
        most = max(most, memory(both)["used_bytes"])
    assert 0 < most <= limit
    loads = both.get("/metrics")[2].decode()
    turns = [line for line in loads.splitlines() if line.startswith("pippin:model_loads_total{")]
    assert sum(float(line.split()[-1]) for line in turns) >= 195, turns
    assert threads_of(both) <= threads + 2, "threads of models that have gone"
    if "ASAN_OPTIONS" not in os.environ and "TSAN_OPTIONS" not in os.environ:
        assert resident(both) < before + 64 * MIB, (before, resident(both))


@pytest.mark.timeout(600)
def test_clients_of_both_at_the_same_time(both):
    first, second = names(both)
    ways = asker(both)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(ways[i % len(ways)], (first, second)[i % 2]) for i in range(48)]
        assert all(answer.result() for answer in answers)
    assert memory(both)["used_bytes"] <= memory(both)["budget_bytes"]


def long_stream(running, model):
    client = openai.OpenAI(base_url=running.url + "/v1", api_key="none", max_retries=0, timeout=120)
    return iter(client.chat.completions.create(
        model=model, stream=True, messages=ASKS["messages"], max_tokens=200, extra_body={"ignore_eos": True}
    ))


def test_unload_during_a_stream_waits_for_it(both):
    first, second = names(both)
    stream = long_stream(both, first)
    parts = [next(stream) for _ in range(3)]
    status, answer = post(both, "/v1/models/unload", {"model": first})
    assert status == 200 and answer["status"]["value"] == "unloading", answer
    assert statuses(both)[first]["memory_bytes"] > 0
    # A request for the other one waits, and neither is lost.
    other = {}
    waiting = threading.Thread(
        target=lambda: other.update(done=post(both, "/v1/chat/completions", {"model": second, **ASKS}))
    )
    waiting.start()
    parts += list(stream)
    assert parts[-1].choices[0].finish_reason == "length"
    waiting.join(120)
    assert other["done"][0] == 200, other
    wait_until(lambda: statuses(both)[first]["value"] == "unloaded", 60, "the model has gone")
    assert post(both, "/models/unload", {"model": first})[1]["status"]["memory_bytes"] == 0


def test_load_answers_when_the_model_is_there(both):
    _, second = names(both)
    assert post(both, "/v1/models/unload", {"model": second})[0] == 200
    wait_until(lambda: statuses(both)[second]["value"] == "unloaded", 60, "the model has gone")
    status, answer = post(both, "/models/load", {"model": second})
    assert status == 200 and answer["success"] and answer["status"]["value"] == "loaded", answer
    assert answer["status"]["memory_bytes"] > 0 and answer["model"] == second
    assert post(both, "/v1/models/load", {"model": "nobody"})[0] == 404
    assert post(both, "/v1/models/load", {})[0] == 400
    assert post(both, "/v1/models/unload", {"model": "nobody"})[0] == 404


def test_ollamas_keep_alive(both):
    first, _ = names(both)
    client = ollama.Client(both.url, timeout=120)

    def listed():
        return {model.name.removesuffix(":latest"): model for model in client.ps().models}

    assert client.generate(first, keep_alive="10m").done_reason == "load"
    model = listed()[first]
    assert 590 < model.expires_at.timestamp() - time.time() <= 601, model
    assert model.size == statuses(both)[first]["memory_bytes"]
    assert model.context_length == 512
    client.generate(first, "x", keep_alive=-1, options={"num_predict": 1})
    assert listed()[first].expires_at.year > 2300
    client.generate(first, "x", keep_alive=0.2, options={"num_predict": 1})
    wait_until(lambda: first not in listed(), 60, "its time is over")
    assert client.generate(first, keep_alive=0).done_reason == "unload"
    assert first not in listed(), "it was not loaded for its end"
    assert any(model.model.startswith(first) for model in client.list().models), "it is served still"
    assert "completion" in client.show(first).capabilities and first not in listed()


def test_ps_and_stop_of_a_model(both):
    first, second = names(both)
    post(both, "/models/load", {"model": first})

    def pippin(*arguments):
        done = subprocess.run(
            [program.program_path(), *arguments, "--server", both.url], capture_output=True, text=True, timeout=60
        )
        return done.returncode, done.stdout, done.stderr

    def state(name):
        return {model["id"]: model for model in json.loads(pippin("ps", "--json")[1])["models"]}[name]["state"]

    assert state(first) == "loaded" and state(second) != "loaded"
    rows = [line.split() for line in pippin("ps")[1].splitlines()]
    assert [first, "loaded", "forever"] in [row[:3] for row in rows], rows
    code, out, err = pippin("stop", first)
    assert code == 0, err
    wait_until(lambda: state(first) == "unloaded", 60, "the model has gone")
    assert pippin("stop", "nobody")[0] == 1
    assert both.process.poll() is None


def test_what_is_broken_or_too_large_is_an_error_and_the_server_lives_on(tmp_path):
    whole = program.model_path().read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "noise.gguf").write_bytes(b"GGUF" + os.urandom(4000))
    config = tmp_path / "pippin.toml"
    config.write_text(f"""
memory = "400MB"
kv_memory = "24MB"

[models.small]
path = "{program.model_path()}"
context = 512
aliases = ["gpt-4o"]
keep_alive = "7m"
kv_type = "int8"

[models.cut]
path = "{tmp_path / 'cut.gguf'}"

[models.noise]
path = "{tmp_path / 'noise.gguf'}"

[models.large]
path = "{program.model_path()}"
kv_memory = "4GB"
""")
    with Program("--config", config, model="") as running:
        assert names(running) == ["small", "cut", "noise", "large"]
        for name in ("cut", "noise"):
            status, answer = post(running, "/v1/chat/completions", {"model": name, **ASKS})
            assert status == 500 and answer["error"]["message"], answer
            assert post(running, "/api/chat", {"model": name, "messages": ASKS["messages"]})[0] == 500
            assert post(running, "/v1/messages", {"model": name, **ASKS})[1]["type"] == "error"
            told = statuses(running)[name]
            assert told["failed"] and told["error"] and told["value"] == "unloaded"
        status, answer = post(running, "/v1/chat/completions", {"model": "large", **ASKS})
        assert status == 503 and "3.7 GiB" in answer["error"]["message"], answer
        for name in ("small", "gpt-4o", "default"):
            assert post(running, "/v1/chat/completions", {"model": name, **ASKS})[0] == 200
        models = json.loads(running.get("/v1/status")[2])["models"]
        assert [m["memory"]["kv_type"] for m in models if "memory" in m] == ["int8"]
        small = statuses(running)["small"]
        assert small["keep_alive_s"] == 420 and 0 < small["expires_in_s"] <= 420
        status, answer = post(running, "/v1/chat/completions", {"model": "nobody", **ASKS})
        assert status == 404 and answer["error"]["code"] == "model_not_found"


def refused(*flags):
    """Starts a server that must not start; returns what it says."""
    done = subprocess.run(
        [program.program_path(), "serve", *map(str, flags), "--port", str(program.free_port())],
        capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
        env={"PIPPIN_KEYS": "off", "PIPPIN_RESPONSES": ":memory:", "PIPPIN_BATCHES": ":memory:"} | os.environ,
    )
    assert done.returncode in (1, 2), done
    return done.stderr


def test_what_is_wrong_in_the_settings_file_is_told_with_its_line(tmp_path):
    config = tmp_path / "pippin.toml"
    for text, message in (
        ("port = \n", "pippin.toml:1: "),
        ("\nprot = 1\n", "pippin.toml:2: prot: is no setting"),
        ("max_num_seqs = 0\n", "pippin.toml:1: max_num_seqs: expected a whole number from 1 to 4096, got \"0\""),
        ("[models.a]\npath = 1\n", "pippin.toml:2: models.a.path: expected a text"),
        ("[models.a]\nport = 1\n", "pippin.toml:2: models.a.port: is no setting of a model"),
        (f"[models.a]\nmodel = '{program.model_path()}'\nkeep_alive = 'soon'\n", "expected a time such as 5m"),
        ("[models.a]\nmodel = \"/nowhere.gguf\"\n", "pippin.toml:1: models.a: "),
    ):
        config.write_text(text)
        said = refused("--config", config)
        assert message in said, (text, said)
    assert "No such file" in refused("--config", tmp_path / "none.toml")
    assert "--pin: no model here" in refused(program.model_path(), "--pin", "nobody")
    assert "two models are called" in refused(program.model_path(), program.model_path())


def test_models_on_disk_are_loaded_on_demand(tmp_path):
    home = tmp_path / "data" / "pippin" / "models"
    home.mkdir(parents=True)
    shutil.copy(program.model_path(), home / "another.gguf")
    environment = {"XDG_DATA_HOME": str(tmp_path / "data"), "HOME": str(tmp_path),
                   "OLLAMA_MODELS": str(tmp_path / "none"), "HF_HUB_CACHE": str(tmp_path / "none")}
    old = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        with Program("--models-on-demand", *FLAGS) as running:
            assert names(running) == [SMOL, "another"]
            told = statuses(running)["another"]
            assert told["value"] == "unloaded" and told["keep_alive_s"] == 300, told
            status, answer = post(running, "/v1/chat/completions", {"model": "another", **ASKS})
            assert status == 200, answer
            assert statuses(running)["another"]["expires_in_s"] > 0
            # A name from a request opens no path.
            assert post(running, "/v1/chat/completions", {"model": str(program.model_path()), **ASKS})[0] == 404
            (home / "another.gguf").unlink()
            assert post(running, "/models/unload", {"model": "another"})[0] == 200
            wait_until(lambda: names(running) == [SMOL], 60, "what was removed is not listed")
            assert post(running, "/v1/chat/completions", {"model": SMOL, **ASKS})[0] == 200
    finally:
        for name, value in old.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
