"""`pippin show` tells of a model what its headers say, by the figures of the server and its APIs."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

import program
from gguf_edit import edited

FIXTURES = Path(__file__).parents[1] / "models/fixtures"
MEMORY = ("--memory", "1GiB")

pytestmark = pytest.mark.usefixtures("built")


def run(*arguments, home, **environment):
    variables = {"HOME": str(home), "XDG_DATA_HOME": str(home / "data"), "PATH": "/usr/bin:/bin"} | environment
    words = [program.program_path(), "show", *map(str, arguments)]
    ended = subprocess.run(words, env=variables, capture_output=True, text=True, timeout=120)
    return ended.returncode, ended.stdout, ended.stderr


def show(*arguments, home, **environment):
    code, out, error = run("--json", *MEMORY, *arguments, home=home, **environment)
    assert code == 0, error
    return json.loads(out)


def test_text_and_json_tell_the_same(tmp_path):
    code, text, error = run(*MEMORY, FIXTURES / "hf/llama_tied", home=tmp_path)
    assert code == 0, error
    rows = dict(line.split("  ", 1) for line in text.split("\n\n")[0].splitlines())
    rows = {name: value.strip() for name, value in rows.items()}
    told = show(FIXTURES / "hf/llama_tied", home=tmp_path)
    assert (rows["can be served"], told["servable"]) == ("yes", True)
    assert (rows["bits/weight"], told["bits_per_weight"]) == ("32.00", 32)
    assert told["weights_bytes"] == 4 * told["parameters"] and told["active_parameters"] == told["parameters"]
    assert (rows["context"], told["context"]["tokens"]) == ("1024 tokens", 1024)
    assert (rows["layers"], told["layers"]) == ("2", 2)
    assert rows["kv"] == "2 layers, full attention: 256 B a token"
    assert "temperature 0.5" in rows["sampling"] and rows["sampling"].startswith("the model's own")
    assert told["sampling"]["temperature"] == 0.5 and told["sampling"]["top_k"] == 40
    assert told["sampling"]["of_the_model"] == ["temperature", "top_p", "top_k"]
    assert rows["tools"].endswith(f"parser {told['tool_parser']}")
    assert told["chat_template"]["reasoning_efforts"] == [] and told["vision_served"] is False
    (row,) = told["memory"]["contexts"]
    assert row["context_tokens"] == 1024 and row["fits"] is True
    assert row["bytes"] == row["weights_bytes"] + row["kv_bytes"] + row["scratch_bytes"]
    assert row["kv_bytes"] == 1024 * told["kv"]["groups"][0]["bytes_per_token"]
    assert "CONTEXT  WEIGHTS" in text


@pytest.mark.parametrize("name, kinds", [
    ("deepseek3", ["mla"]), ("gemma3n", ["full", "sliding"]), ("llama4_chunks", ["full", "chunked"]),
    ("qwen35", ["full", "state"]), ("mamba2", ["state"]),
])
def test_each_kind_of_layer_has_its_group(tmp_path, name, kinds):
    told = show(FIXTURES / "families" / name, home=tmp_path)
    assert [group["kind"] for group in told["kv"]["groups"]] == kinds
    for group in told["kv"]["groups"]:
        assert (group["bytes_per_token"] > 0) != (group["bytes_per_sequence"] > 0)
    # The folders of the families have no tokenizer, which is said beside what is known.
    assert told["servable"] is False and "tokenizer.json" in told["error"]


@pytest.mark.parametrize("name, method", [("gptq", "gptq"), ("awq", "awq"), ("fp8_blocks", "fp8")])
def test_quantised_folders_name_their_method(tmp_path, name, method):
    told = show(FIXTURES / "quantised" / name, home=tmp_path)
    assert told["quantization_method"] == method
    assert told["bits_per_weight"] < 30


def test_a_context_is_told_alone_and_one_too_long_is_refused(tmp_path):
    model = FIXTURES / "hf/llama_tied"
    told = show("--context", 256, model, home=tmp_path)
    assert [row["context_tokens"] for row in told["memory"]["contexts"]] == [256]
    assert told["memory"]["served"]["context_tokens"] == 256
    code, out, error = run("--context", 4096, model, home=tmp_path)
    assert (code, out) == (2, "") and "made for 1024 tokens" in error
    told = json.loads(run("--json", "--memory", "1MB", model, home=tmp_path)[1])
    assert told["memory"]["contexts"][0]["fits"] is False and "does not fit" in told["memory"]["served"]["error"]


def words(text):
    """The text without its layout."""
    return " ".join(text.split())


def test_the_server_takes_what_is_told(tmp_path):
    model = FIXTURES / "hf/llama_tied"
    told = show("--context", 512, model, home=tmp_path)
    text = run(*MEMORY, "--context", 512, model, home=tmp_path)[1]
    with program.Program(*MEMORY, "--context", 512, model=model) as running:
        plan = words(text[text.index("  weights "):])
        program.wait_until(lambda: plan in words(running.log_text()), 20, "the banner has the plan")
        (listed,) = json.loads(running.get("/v1/models")[2])["data"]
        assert listed["status"]["memory_bytes"] == told["memory"]["served"]["bytes"]
        assert listed["tool_parser"] == told["tool_parser"]
        assert listed["reasoning_parser"] == told["reasoning_parser"]
        assert listed["capabilities"]["vision"] == told["vision_served"]
        body = json.dumps({"model": listed["id"]}).encode()
        status, _, answer = running.request("POST", "/api/show", body, {"content-type": "application/json"})
        assert status == 200, answer
        shown = json.loads(answer)
    assert shown["capabilities"] == told["capabilities"]
    assert shown["model_info"]["general.parameter_count"] == told["parameters"]
    assert shown["details"]["quantization_level"] == told["quantization"]
    assert shown["details"]["format"] == told["format"] == "safetensors"


def test_what_cannot_be_served_is_shown_with_the_reason(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(FIXTURES / "hf/llama_untied", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "nonesuch"}))
    (folder / "LICENSE").write_text("Nobody's License\nVersion 1\n")
    code, text, error = run(folder, home=tmp_path)
    assert code == 0, error
    (line,) = [line for line in text.splitlines() if line.startswith("can be served")]
    assert line.startswith("can be served  no: ") and "nonesuch" in line
    told = show(folder, home=tmp_path)
    assert told["servable"] is False and told["architecture"] == "nonesuch"
    assert told["parameters"] > 10_000 and told["license"] == "Nobody's License"


def test_a_cut_file_is_shown_as_broken(tmp_path):
    whole = (FIXTURES / "qwen3.gguf").read_bytes()
    for part in (0.0, 0.001, 0.05, 0.5, 0.999):
        path = tmp_path / "cut.gguf"
        path.write_bytes(whole[:int(len(whole) * part)])
        told = show(path, home=tmp_path)
        assert told["servable"] is False and told["error"]


@pytest.mark.parametrize("key", ["context_length", "block_count", "embedding_length", "feed_forward_length",
                                 "attention.head_count", "attention.head_count_kv"])
def test_absurd_metadata_is_shown_without_harm(tmp_path, key):
    for value in (0, 1, 3, 2**20, 2**30, 2**31, 2**32 - 1):
        model = edited(FIXTURES / "llama_tied.gguf", tmp_path / "absurd.gguf", {f"llama.{key}": value})
        told = show(model, home=tmp_path)
        assert told["servable"] or told["error"]
        assert told["parameters"] > 10_000
        for row in told.get("memory", {}).get("contexts", []):
            assert 0 < row["kv_bytes"] < row["bytes"] < 2**61


def test_the_license_of_an_ollama_model(tmp_path):
    store = tmp_path / "store"
    (store / "blobs").mkdir(parents=True)

    def layer(kind, data):
        digest = hashlib.sha256(data).hexdigest()
        (store / "blobs" / f"sha256-{digest}").write_bytes(data)
        return {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    manifest = {
        "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": layer("config", b'{"file_type": "F32"}') | {
            "mediaType": "application/vnd.docker.container.image.v1+json"},
        "layers": [layer("model", (FIXTURES / "llama_tied.gguf").read_bytes()),
                   layer("license", b"Apache License\nVersion 2.0\n"), layer("license", b"And terms of use\n")],
    }
    place = store / "manifests/registry.ollama.ai/library/tiny"
    place.mkdir(parents=True)
    (place / "1b").write_text(json.dumps(manifest))
    told = show("ollama:tiny:1b", home=tmp_path, OLLAMA_MODELS=str(store))
    assert told["license"] == "Apache License"
    assert told["license_text"] == "Apache License\nVersion 2.0\n\n\nAnd terms of use\n"
