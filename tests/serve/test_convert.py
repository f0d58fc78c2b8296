"""`pippin convert` through the running program: what it writes answers, and what it cannot do it says."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import program

FIXTURES = Path(__file__).parents[1] / "models/fixtures"
PROMPT = "the rain in the "

pytestmark = pytest.mark.usefixtures("built")


def convert(*arguments, home):
    environment = {"HOME": str(home), "XDG_DATA_HOME": str(home / "data"), "PATH": "/usr/bin:/bin"}
    words = [program.program_path(), "convert", *map(str, arguments)]
    ended = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)
    return ended.returncode, ended.stdout, ended.stderr


def answer(model):
    with program.Program("--context", 128, model=model) as running:
        body = json.dumps({"model": "default", "prompt": PROMPT, "max_tokens": 8, "temperature": 0}).encode()
        status, _, got = running.request("POST", "/v1/completions", body, {"content-type": "application/json"})
        assert status == 200, got
        return json.loads(got)["choices"][0]["text"]


@pytest.mark.parametrize("source", ["llama_tied.gguf", "hf/llama_tied"])
@pytest.mark.parametrize("form", ["f16", "q8_0"])
def test_a_gguf_file_of_it_answers_alike(source, form, tmp_path):
    out = tmp_path / "out.gguf"
    code, said, errors = convert(FIXTURES / source, "--to", form, "--out", out, home=tmp_path)
    assert code == 0, errors
    assert "bits per weight" in said
    assert answer(out) == answer(FIXTURES / source)


def test_a_tokenizer_that_gguf_files_cannot_say_is_refused(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(FIXTURES / "hf/llama_tied", folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "[aeiou]"}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
        ],
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    code, _, errors = convert(folder, "--to", "q8_0", "--out", tmp_path / "out.gguf", home=tmp_path)
    assert code == 1
    assert "tokenizer.json" in errors and "no tokenizer of GGUF files cuts texts as this one does" in errors
    assert not (tmp_path / "out.gguf").exists()


def test_a_folder_lands_beside_the_models_and_answers(tmp_path):
    code, said, errors = convert(FIXTURES / "hf/llama_tied", "--to", "8bit", "--json", home=tmp_path)
    assert code == 0, errors
    told = json.loads(said)
    assert told["out"] == str(tmp_path / "data/pippin/models/llama_tied-8bit")
    assert 8 < told["bits_per_weight"] < 12
    manifest = json.loads(Path(told["manifest"]).read_text())
    assert [tensor["name"] for tensor in manifest["tensors"]] == [tensor["name"] for tensor in told["tensors"]]
    config = json.loads((Path(told["out"]) / "config.json").read_text())
    assert config["quantization"] == {"group_size": 64, "bits": 8, "mode": "affine"}
    assert (Path(told["out"]) / "tokenizer.json").is_file()
    assert answer(told["out"])


def test_a_dry_run_writes_nothing(tmp_path):
    code, said, _ = convert(FIXTURES / "llama_tied.gguf", "--to", "q4_0", "--dry-run", home=tmp_path)
    assert code == 0
    assert "token_embd.weight" in said and "Q4_0" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("model", "flags", "code", "says"),
    [
        ("llama_tied.gguf", ["--to", "4bit"], 1, "pull the model's original repository"),
        ("families/jamba", ["--to", "q4_0"], 1, "convert_hf_to_gguf.py"),
        ("hf/llama_tied", ["--to", "zip"], 2, "--to: expected a format"),
        ("hf/llama_tied", ["--to", "4bit", "--group", "48"], 2, "--group: expected 32, 64 or 128"),
        ("llama_tied.gguf", [], 2, "--to: expected a format"),
        ("llama_tied.gguf", ["--to", "f16", "--out", "/dev/null"], 2, "exists; nothing is overwritten"),
    ],
)
def test_what_cannot_be_done_is_said(model, flags, code, says, tmp_path):
    ended, _, errors = convert(FIXTURES / model, *flags, home=tmp_path)
    assert says in errors
    assert ended == code
