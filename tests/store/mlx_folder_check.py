#!/usr/bin/env python3
"""Folders that `pippin convert` makes, in mlx-lm: they load there, hold mx.quantize's own values, and give logits near
the source's. Needs mlx and mlx-lm.

    tests/store/mlx_folder_check.py PATH_OF_PIPPIN
"""

import pathlib
import subprocess
import sys
import tempfile

import mlx.core as mx
from mlx_lm.utils import load_model

FIXTURES = pathlib.Path(__file__).parents[1] / "models/fixtures/hf"
FORMATS = {"2bit": 2, "3bit": 3, "4bit": 4, "5bit": 5, "6bit": 6, "8bit": 8, "mxfp4": 4}
MIXES = {"mixed_2_6": (2, 6), "mixed_3_4": (3, 4), "mixed_3_6": (3, 6), "mixed_4_6": (4, 6)}
# Of the logits' own spread, by bits: measured, with a margin of a half; random models are sensitive.
LOGITS_MAX = {2: 1.5, 3: 1.0, 4: 0.5, 5: 0.25, 6: 0.15, 8: 0.04}
TOKENS = mx.array([[3, 17, 42, 99, 5, 120, 64, 7]])


def weights_of(folder):
    weights = {}
    for file in sorted(folder.glob("*.safetensors")):
        weights |= mx.load(str(file))
    return weights


def check(program, source, form, bits, folder):
    out = folder / form
    subprocess.run([program, "convert", source, "--to", form, "--group", "32", "--out", out], check=True)
    model, config = load_model(out)
    original, _ = load_model(source)
    expected, got = original(TOKENS), model(TOKENS)
    error = (mx.sqrt(mx.mean((got - expected) ** 2)) / mx.std(expected)).item()
    assert error < (0.75 if form == "mxfp4" else LOGITS_MAX[bits]), (source.name, form, error)
    floats, made = weights_of(source), weights_of(out)
    compared = 0
    for name, scales in made.items():
        if not name.endswith(".scales"):
            continue
        module = name.removesuffix(".scales")
        how = {**config["quantization"], **config["quantization"].get(module, {})}
        parts = mx.quantize(
            floats[module + ".weight"], group_size=how["group_size"], bits=how["bits"], mode=how["mode"]
        )
        for kind, part in zip(("weight", "scales", "biases"), parts):
            assert mx.array_equal(part, made[f"{module}.{kind}"]).item(), (source.name, form, module, kind)
        compared += 1
    assert compared > 10, compared
    print(f"{source.name} {form}: {compared} modules are mx.quantize's, logits within {error:.3f}")


def main():
    mx.set_default_device(mx.cpu)
    program = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        for source in ("llama_untied", "llama_tied", "qwen3", "gemma3"):
            for form, bits in FORMATS.items():
                check(program, FIXTURES / source, form, bits, pathlib.Path(folder) / source)
            for form, (bits, _) in MIXES.items():
                check(program, FIXTURES / source, form, bits, pathlib.Path(folder) / source)


main()
