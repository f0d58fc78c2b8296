"""Pulling and deleting through Ollama's API, from a hub on loopback."""

import ollama
import pytest

import program
from test_pull import FILE, fake_hub, home, house  # noqa: F401

NAME = "hf.co/org/smol:Q4_1"


@pytest.fixture
def client(home):  # noqa: F811
    with program.Program("--context", 256) as running:
        yield ollama.Client(host=running.url, timeout=120)


def test_a_pull_tells_how_far_it_is(client, home):  # noqa: F811
    parts = list(client.pull(NAME, stream=True))
    assert parts[-1].status == "success"
    told = [part for part in parts if part.total]
    assert told and told[-1].completed == told[-1].total == program.model_path().stat().st_size
    assert list(home.rglob(FILE))
    assert client.pull(NAME).status == "success"
    assert client.delete(NAME).status == "success"
    assert not list(home.rglob(FILE))


def test_what_was_pulled_is_listed_and_answers(house, home, monkeypatch):  # noqa: F811
    weights = program.model_path().read_bytes()
    house.repos["org/other"] = {"other-Q4_1.gguf": weights}
    house.add_model("library/tiny", "latest", [("model", weights)])
    monkeypatch.setenv("PIPPIN_OLLAMA_REGISTRY", house.url("registry"))
    broken = home / ".local/share/pippin/models/broken.gguf"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"GGUF and then nothing")
    with program.Program("--context", 256, "--ollama", "--ollama-port", 0) as running:
        client = ollama.Client(host=running.url, timeout=120)
        (served,) = names(client)
        for name, listed in (("hf.co/org/other:Q4_1", "other-Q4_1:latest"), ("tiny", "tiny:latest")):
            assert client.pull(name).status == "success"
            assert names(client) == {served, listed}, "a file that cannot be read is not on offer"
            (entry,) = (entry for entry in client.list().models if entry.model == listed)
            assert entry.size > len(weights) / 2 and entry.details.family == "llama"
            for known in (name, listed):
                assert client.show(known).modelinfo["general.architecture"] == "llama"
                assert client.generate(known, "One two", options={"num_predict": 2}).eval_count == 2
            assert listed in {entry.model for entry in client.ps().models}
            assert client.delete(name).status == "success"
            program.wait_until(lambda: names(client) == {served}, 60, "it is gone")


def test_a_new_version_is_served_once_it_is_pulled(house, home, monkeypatch):  # noqa: F811
    weights = program.model_path().read_bytes()
    house.add_model("library/tiny", "latest", [("model", weights)])
    monkeypatch.setenv("PIPPIN_OLLAMA_REGISTRY", house.url("registry"))
    with program.Program("--context", 256, "--ollama", "--ollama-port", 0) as running:
        client = ollama.Client(host=running.url, timeout=120)
        client.pull("tiny")
        assert client.generate("tiny", "One two", options={"num_predict": 2}).eval_count == 2
        (before,) = home.glob(".ollama/models/blobs/sha256-*" + fake_hub.sha256(weights)[8:])
        # Bytes behind the tensors: another file that answers the same.
        house.add_model("library/tiny", "latest", [("model", weights + bytes(64))])
        client.pull("tiny")
        assert not before.exists(), "the old version's file stays behind"
        assert client.generate("tiny", "One two", options={"num_predict": 2}).eval_count == 2
        maps = open(f"/proc/{running.process.pid}/maps").read()
        assert str(before) not in maps
        details = client.show("tiny")
        assert details.modelinfo["general.architecture"] == "llama"
        assert client.delete("tiny").status == "success"
        with pytest.raises(ollama.ResponseError) as caught:
            client.generate("tiny", "One two")
        assert caught.value.status_code == 404
        assert not list(home.glob(".ollama/models/blobs/*"))


def test_registries_are_the_operators_choice(house, home, monkeypatch):  # noqa: F811
    weights = program.model_path().read_bytes()
    house.add_model("library/tiny", "latest", [("model", weights)])
    host = house.url("registry").removeprefix("http://")
    with program.Program("--context", 256, "--ollama", "--ollama-port", 0) as running:
        client = ollama.Client(host=running.url, timeout=120)
        before = len(house.requests("registry"))
        with pytest.raises(ollama.ResponseError, match="--registries") as caught:
            client.pull(f"{host}/library/tiny:latest")
        assert caught.value.status_code == 403
        assert len(house.requests("registry")) == before, "it was asked all the same"
    with program.Program("--context", 256, "--ollama", "--ollama-port", 0, "--registries", host) as running:
        client = ollama.Client(host=running.url, timeout=120)
        assert client.pull(f"{host}/library/tiny:latest").status == "success"
        with pytest.raises(ollama.ResponseError) as caught:
            client.pull(f"{host}/library/none:latest")
        assert "MANIFEST_UNKNOWN" not in str(caught.value), "what the registry answers is not told"


def names(client):
    return {entry.model for entry in client.list().models}


def test_what_cannot_be_pulled_says_why(client):
    with pytest.raises(ollama.ResponseError) as caught:
        client.pull("hf.co/org/nothing")
    assert caught.value.status_code in (401, 404)
    with pytest.raises(ollama.ResponseError):
        list(client.pull("hf.co/org/nothing", stream=True))
    with pytest.raises(ollama.ResponseError) as caught:
        client.pull("hf.co/../../etc")
    assert caught.value.status_code == 400
    with pytest.raises(ollama.ResponseError) as caught:
        client.delete("hf.co/org/nothing")
    assert caught.value.status_code == 404
