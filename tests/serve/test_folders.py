"""Models as folders of safetensors, as transformers and mlx-lm save them, beside the same model as a GGUF file."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import program

FIXTURES = Path(__file__).parents[1] / "models/fixtures"
FOLDERS = {"hf/llama_tied": "F32", "mlx/llama_untied": "4-bit", "mlx/qwen2": "4-bit", "mlx/gemma3": "8-bit",
           "mlx/qwen3": "MXFP4"}
PROMPT = "the rain in the "

pytestmark = pytest.mark.usefixtures("built")


def post(running, path, **fields):
    status, _, body = running.request("POST", path, json.dumps(fields).encode(), {"content-type": "application/json"})
    assert status == 200, body
    return json.loads(body)


def complete(running, tokens):
    return post(running, "/v1/completions", model="default", prompt=PROMPT, max_tokens=tokens, temperature=0)


def command(*arguments, home):
    environment = {"HOME": str(home), "XDG_DATA_HOME": str(home / "data"), "PATH": "/usr/bin:/bin"}
    words = [program.program_path(), *map(str, arguments)]
    ended = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)
    return ended.returncode, ended.stdout, ended.stderr


def test_a_folder_answers_as_the_same_gguf_does():
    with program.Program("--context", 128, model=FIXTURES / "llama_tied.gguf") as running:
        file = complete(running, 12)
    with program.Program("--context", 128, model=FIXTURES / "hf/llama_tied") as running:
        folder = complete(running, 12)
        assert folder["model"] == "llama_tied"
    assert folder["choices"][0]["text"] == file["choices"][0]["text"] != ""
    assert folder["usage"] == file["usage"]


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_chats_and_tells_what_it_is(name):
    with program.Program("--context", 128, model=FIXTURES / name) as running:
        messages = [{"role": "user", "content": PROMPT}]
        chat = post(running, "/v1/chat/completions", model="default", messages=messages, max_tokens=5)
        assert chat["usage"]["completion_tokens"] >= 1
        first = complete(running, 6)["choices"]
        assert first == complete(running, 6)["choices"] and first[0]["text"]
        shown = post(running, "/api/show", model=Path(name).name)
        assert shown["details"]["quantization_level"] == FOLDERS[name]
        family = shown["details"]["family"]
        assert shown["model_info"][f"{family}.context_length"] == 128
        assert shown["model_info"]["general.parameter_count"] > 10_000


def test_a_folder_is_found_by_name_and_by_its_weights(tmp_path):
    place = tmp_path / "data/pippin/models/tiny-4bit"
    shutil.copytree(FIXTURES / "mlx/qwen2", place)
    assert "tiny-4bit" in command("list", home=tmp_path)[1]
    code, shown, error = command("show", "tiny-4bit", home=tmp_path)
    assert code == 0, error
    assert "qwen2" in shown and "files" in shown and "can be served  yes\n" in shown
    code, shown, error = command("show", "--json", place / "model.safetensors", home=tmp_path)
    assert code == 0 and json.loads(shown)["path"] == str(place), error
    code, _, error = command("rm", "tiny-4bit", home=tmp_path)
    assert code == 0, error
    assert not (place / "model.safetensors").exists()


@pytest.mark.parametrize(
    "field, value, says",
    [
        ("model_type", "nonesuch", "'nonesuch' is not supported yet; this build knows llama"),
        ("quantization_config", {"quant_method": "bitsandbytes"}, "bitsandbytes"),
        ("rope_parameters", {"rope_type": "spiral", "rope_theta": 1e4}, "rope scaling 'spiral' is not supported"),
        ("hidden_size", 65, "head_dim"),
    ],
)
def test_what_cannot_be_served_is_told_by_name(tmp_path, field, value, says):
    folder = tmp_path / "model"
    shutil.copytree(FIXTURES / "hf/llama_untied", folder)
    config = json.loads((folder / "config.json").read_text())
    if field == "hidden_size":
        config.pop("head_dim", None)
    (folder / "config.json").write_text(json.dumps(config | {field: value}))
    code, _, error = command("serve", folder, "--port", 0, home=tmp_path)
    assert code != 0 and says in error, error
    (folder / "config.json").unlink()
    code, _, error = command("serve", folder, "--port", 0, home=tmp_path)
    assert code != 0 and "expected config.json and model.safetensors" in error, error
