"""Pulls from a registry as Ollama's, into a store as Ollama's."""

import json
import random
import signal
import time

import pytest
from fake_hub import gguf, sha256

MODEL = gguf(data_bytes=2_000_000)
CONFIG = json.dumps({"model_format": "gguf", "model_family": "llama", "file_type": "Q4_K_M"}).encode()
TEXTS = [("template", b"{{ .Prompt }}"), ("system", b"Be brief."), ("params", b'{"stop": ["<|end|>"]}')]
LAYERS = [("model", MODEL), *TEXTS]
NAME = "ollama:tiny:1b"


@pytest.fixture
def model(house):
    house.add_model("library/tiny", "1b", LAYERS, CONFIG)
    return house


def check_whole(puller, path, manifest, name="library/tiny/1b"):
    assert path == puller.ollama / "blobs" / ("sha256-" + sha256(MODEL))
    assert path.read_bytes() == MODEL
    stored = (puller.ollama / "manifests/registry.ollama.ai" / name).read_text()
    assert stored == manifest
    for layer in [*json.loads(stored)["layers"], json.loads(stored)["config"]]:
        data = (puller.ollama / "blobs" / layer["digest"].replace(":", "-")).read_bytes()
        assert len(data) == layer["size"] and "sha256:" + sha256(data) == layer["digest"]
    assert not [n for n in puller.blobs() if n.endswith(".incomplete")]


def test_a_model_arrives_with_all_its_layers(puller, model):
    path = puller.pull(NAME)
    check_whole(puller, path, model.models["library/tiny"]["1b"])
    sent = model.sent_bytes
    assert puller.pull(NAME) == path and model.sent_bytes == sent
    assert puller("resolve", NAME)[1] == str(path)
    assert puller("list")[1].split("\t")[0] == NAME


def test_a_new_version_takes_the_place_of_the_old_one(puller, model):
    before = puller.pull(NAME)
    other = gguf(data_bytes=1_000_000, seed=b"2")
    model.add_model("library/tiny", "1b", [("model", other), *TEXTS], CONFIG)
    after = puller.pull(NAME)
    assert after != before and after.read_bytes() == other
    assert not before.exists(), "nothing needs it any more"
    assert puller("resolve", NAME)[1] == str(after)
    assert all((puller.ollama / "blobs" / ("sha256-" + sha256(data))).exists() for _, data in TEXTS)


def test_what_another_name_needs_stays(puller, model):
    model.add_model("library/other", "1b", LAYERS, CONFIG)
    weights = puller.pull(NAME)
    assert puller.pull("ollama:other:1b") == weights
    model.add_model("library/tiny", "1b", [("model", gguf(data_bytes=1_000_000, seed=b"2"))], CONFIG)
    assert puller.pull(NAME) != weights
    assert weights.exists() and puller("resolve", "ollama:other:1b")[1] == str(weights)


def test_cut_connections_and_expired_links(puller, model):
    draw = random.Random(3)
    model.faults.cut_after = lambda _: draw.choice([0, 5_000, 100_000, 1 << 30])
    model.faults.link_uses = 2
    path = puller.pull(NAME, PIPPIN_TEST_ATTEMPTS=15)
    check_whole(puller, path, model.models["library/tiny"]["1b"])


def test_kill_then_resume(puller, model):
    draw = random.Random(5)
    model.faults.piece_s = 0.002
    kills = 0
    for round_ in range(40):
        process = puller.start("pull", NAME)
        end = time.monotonic() + (draw.uniform(0.0, 0.06 + 0.01 * kills) if round_ < 20 else 60)
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.002)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
        manifest = puller.ollama / "manifests/registry.ollama.ai/library/tiny/1b"
        # A manifest stands only where all of its blobs do.
        assert not manifest.exists() or process.returncode == 0 or puller("resolve", NAME)[0] == 0
        if process.returncode == 0:
            break
    assert kills >= 2
    check_whole(puller, puller.pull(NAME), model.models["library/tiny"]["1b"])


def test_a_lying_digest_leaves_nothing(puller, model):
    model.faults.altered = True
    assert puller.fail(NAME).startswith("invalid_file")
    assert puller.blobs() == [] and not list(puller.ollama.glob("manifests/**/1b"))
    model.faults.altered = False
    check_whole(puller, puller.pull(NAME), model.models["library/tiny"]["1b"])


def changed(**fields):
    def change(manifest):
        manifest["layers"][0] |= fields
        return json.dumps(manifest)

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda _: "",
        lambda _: "[]",
        lambda _: '{"layers": [], "config": 1}',
        lambda manifest: json.dumps(manifest | {"layers": {}}),
        lambda manifest: json.dumps(manifest | {"layers": [1, 2]}),
        changed(digest="sha256:../../../../../evil"),
        changed(digest="md5:" + "0" * 64),
        changed(digest="sha256:" + "0" * 63 + "/"),
        changed(size=-1),
        changed(size="many"),
        changed(size=1 << 62),
        lambda _: "[" * 1_000_000,
        lambda _: " " * (5 << 20),
    ],
)
def test_wrong_manifests_are_errors(puller, model, change, tmp_path):
    right = json.loads(model.models["library/tiny"]["1b"])
    model.models["library/tiny"]["1b"] = change(right)
    assert puller.fail(NAME).startswith(("invalid_file", "too_large"))
    assert not list(tmp_path.rglob("*evil*")) and puller.blobs() == []


def test_refusals_say_what_to_do(puller, model):
    assert "has no other:latest" in puller.fail("ollama:other")
    model.faults.statuses = [("registry GET", 401, {"WWW-Authenticate": "Bearer"}, b"", 1)]
    assert "ollama pull tiny:1b" in puller.fail(NAME)
    model.faults.statuses = [("registry GET", 403, {}, b"", 1)]
    assert puller.fail(NAME).startswith("permission_denied")
    model.faults.statuses = [("registry GET", 429, {"Retry-After": "999"}, b"", 1)]
    assert puller.fail(NAME).startswith("overloaded")


def test_weights_of_another_kind_are_refused(puller, house):
    house.add_model("library/other", "latest", [("tensor", b"x" * 5000)])
    assert "no GGUF weights" in puller.fail("ollama:other")
    house.add_model("library/mamba", "latest", [("model", gguf("mamba"))])
    assert "mamba" in puller.fail("ollama:mamba", PIPPIN_TEST_ARCHITECTURES="llama")
    assert puller.blobs() == []


def test_another_registry_is_asked_by_its_host(puller, model):
    host = model.url("registry").removeprefix("http://")
    path = puller.pull(f"ollama:{host}/library/tiny:1b", PIPPIN_OLLAMA_REGISTRY="http://127.0.0.1:1")
    assert path.read_bytes() == MODEL
    assert (puller.ollama / "manifests" / host / "library/tiny/1b").exists()


def test_removing_keeps_what_others_use(puller, model):
    model.add_model("library/copy", "latest", LAYERS[:2] + [("system", b"Be long.")], CONFIG)
    path = puller.pull(NAME)
    puller.pull("ollama:copy")
    code, freed, err = puller("rm", NAME)
    assert code == 0, err
    assert path.exists() and puller("resolve", "ollama:copy")[0] == 0 and puller("resolve", NAME)[0] == 1
    assert 0 < int(freed) < 1000
    assert puller("rm", "ollama:copy")[0] == 0
    assert puller.blobs() == [] and puller("list")[1] == ""


def test_a_store_that_ollama_has_written_is_read_in_place(puller, model, tmp_path):
    store = tmp_path / "models"
    (store / "blobs").mkdir(parents=True)
    manifest = json.loads(model.models["library/tiny"]["1b"])
    for data in [MODEL, CONFIG]:
        (store / "blobs" / ("sha256-" + sha256(data))).write_bytes(data)
    (store / "blobs" / "sha256-1234-partial-0").write_text("{}")
    (store / "manifests/registry.ollama.ai/library/tiny").mkdir(parents=True)
    (store / "manifests/registry.ollama.ai/library/tiny/1b").write_text(json.dumps(manifest))
    (store / "manifests/registry.ollama.ai/library/tiny/broken").write_text("{")
    puller.environment["OLLAMA_MODELS"] = str(store)
    assert puller("resolve", NAME)[1] == str(store / "blobs" / ("sha256-" + sha256(MODEL)))
    assert puller("list")[1].split("\t")[0] == NAME
    assert model.asked == []
