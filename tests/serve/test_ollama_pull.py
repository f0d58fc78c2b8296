"""Pulling and deleting through Ollama's API, from a hub on loopback."""

import ollama
import pytest

import program
from test_pull import FILE, home, house  # noqa: F401

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
