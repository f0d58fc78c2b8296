#!/usr/bin/env python3
"""Writes the tiny checkpoints of make_fixtures.py as folders too: as transformers saves them, and as mlx-lm quantises.

    pip install torch==2.8.0 transformers==5.23.0 gguf==0.19.0 'mlx[cpu]==0.32.4'
    python3 tests/models/make_folders.py [NAME ...]     # with names: those of mlx/ alone

fixtures/hf/NAME is the model of fixtures/NAME.gguf, which holds its tokens and logits. fixtures/mlx/NAME has quantised
weights; what transformers computes with the values that mx.dequantize gives is in its expected.safetensors.
"""

import json
import pathlib
import shutil
import sys
import zlib

import gguf
import mlx.core as mx
import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

import make_fixtures
from families import moe

FOLDERS = make_fixtures.FOLDER
CHAT_TEMPLATE = make_fixtures.CHAT_TEMPLATE
# Configurations as older versions of transformers write them, which most folders have.
OLDER_CONFIGS = ("llama_rope_freqs", "gemma3_keys")
# The whole model's bits, group and mode, and modules that differ.
MLX = {
    "llama_untied": (4, 32, {"model.embed_tokens": (6, 64), "lm_head": (8, 64),
                             "model.layers.0.self_attn.q_proj": (2, 32),
                             "model.layers.0.self_attn.k_proj": (3, 64), "model.layers.1.mlp.up_proj": (5, 32),
                             "model.layers.1.self_attn.o_proj": None}),
    "qwen2": (4, 32, {}),
    "gemma3": (8, 32, {}),
    "qwen3": (4, 32, {"model.layers.0.mlp.gate_proj": (8, 64), "model.layers.1.self_attn.o_proj": None}, "mxfp4"),
    "llama_untied_nvfp4": (4, 16, {"lm_head": (8, 64), "model.layers.0.mlp.up_proj": (4, 32, "mxfp4"),
                                   "model.layers.1.self_attn.k_proj": (8, 32, "mxfp8")}, "nvfp4"),
    "llama_untied_mxfp8": (8, 32, {"model.layers.1.mlp.down_proj": None}, "mxfp8"),
    # Experts in one tensor, and routers of 8 bits, as mlx-lm has them.
    "qwen3moe": (4, 32, {"model.layers.0.mlp.gate": (8, 32), "model.layers.1.mlp.gate": (8, 32),
                         "model.layers.1.mlp.switch_mlp.up_proj": (6, 32)}),
}


def older(config: dict) -> dict:
    """rope_parameters as rope_theta, rope_scaling and rope_local_base_freq."""
    config = dict(config)
    parameters = config.pop("rope_parameters")
    if "full_attention" in parameters:
        config["rope_local_base_freq"] = parameters["sliding_attention"]["rope_theta"]
        parameters = parameters["full_attention"]
        config["sliding_window_pattern"] = config.pop("layer_types").index("full_attention") + 1
    config["rope_theta"] = parameters.pop("rope_theta")
    config["rope_scaling"] = None if parameters["rope_type"] == "default" else parameters
    return config


def write_json(path: pathlib.Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n")


def write_tokenizer(folder: pathlib.Path) -> None:
    """The byte-level BPE that the GGUF files have."""
    tokens = ["<s>", "</s>"] + [chr(c) for c in range(33, 127)] + ["Ġ", "Ċ"]
    tokens += [pair.replace(" ", "") for pair in make_fixtures.BIGRAMS]
    merges = [tuple(pair.split(" ")) for pair in make_fixtures.BIGRAMS]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "GPT2Tokenizer", "bos_token": "<s>", "eos_token": {"content": "</s>", "special": True},
        "chat_template": CHAT_TEMPLATE})
    write_json(folder / "generation_config.json", {
        "bos_token_id": 0, "eos_token_id": [1], "do_sample": True, "temperature": 0.5, "top_k": 40, "top_p": 0.9})


def make_model(name: str):
    base = name.removesuffix("_nvfp4").removesuffix("_mxfp8")
    made = make_fixtures.FIXTURES.get(base, moe.qwen3moe_mlx)
    model = made().eval()
    model.set_attn_implementation("eager")
    make_fixtures.randomize(model, zlib.crc32(name.encode()))
    return model


def as_q8(values: np.ndarray) -> np.ndarray:
    """As weights are held that have no form of their own (src/store/unpack.h)."""
    kind = gguf.GGMLQuantizationType.Q8_0
    return gguf.quants.dequantize(gguf.quants.quantize(values.astype(np.float32), kind), kind)


def fresh(kind: str, name: str) -> pathlib.Path:
    folder = FOLDERS / kind / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def write_hf(name: str) -> None:
    folder = fresh("hf", name)
    # One of them in shards with an index.
    make_model(name).save_pretrained(folder, max_shard_size="60KB" if name == "qwen3" else "5GB")
    for other in folder.glob("*.json"):
        if other.name not in ("config.json", "model.safetensors.index.json"):
            other.unlink()
    if name in OLDER_CONFIGS:
        write_json(folder / "config.json", older(json.loads((folder / "config.json").read_text())))
    if name == "llama_tied":
        write_tokenizer(folder)


def write_mlx(name: str) -> None:
    folder = fresh("mlx", name)
    model = make_model(name)
    bits, group, exceptions, mode = (*MLX[name], "affine")[:4]
    written, state = {}, {}

    def quantised(module: str, values: mx.array) -> mx.array:
        """Writes a weight; returns its values."""
        form = exceptions.get(module, (bits, group, mode))
        if form is None:
            written[module + ".weight"] = values
            return values
        how = {"bits": form[0], "group_size": form[1], "mode": (*form, "affine")[2]}
        codes, *rest = mx.quantize(values.astype(mx.bfloat16), **how)
        written[module + ".weight"] = codes
        written.update({module + kind: part for kind, part in zip((".scales", ".biases"), rest)})
        exact = [part if part.dtype == mx.uint8 else part.astype(mx.float32) for part in rest]
        values = mx.dequantize(codes, *exact, **how, dtype=mx.float32)
        held_as_q8 = how["mode"] == "mxfp8" or (how["mode"] == "nvfp4" and values.shape[-1] % 64)
        return mx.array(as_q8(np.array(values))) if held_as_q8 else values

    for full, weight in model.named_parameters():
        values, (module, _, kind) = mx.array(weight.detach().numpy()), full.rpartition(".")
        if full.endswith("norm.weight") or kind == "bias":
            written[full] = values.astype(mx.bfloat16)
            state[full] = written[full].astype(mx.float32)
        elif kind == "gate_up_proj":
            experts = module.replace("experts", "switch_mlp")
            parts = zip(("gate_proj", "up_proj"), mx.split(values, 2, axis=1))
            state[full] = mx.concatenate([quantised(f"{experts}.{name}", part) for name, part in parts], axis=1)
        elif kind == "down_proj":
            state[full] = quantised(f"{module.replace('experts', 'switch_mlp')}.{kind}", values)
        else:
            state[full] = quantised(module, values)
    mx.save_safetensors(str(folder / "model.safetensors"), written, metadata={"format": "mlx"})

    model.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in state.items()}, strict=False)
    tokens = np.random.default_rng(1).integers(2, make_fixtures.VOCAB, make_fixtures.TOKENS, dtype=np.int32)
    with torch.no_grad():
        logits = model(torch.from_numpy(tokens.astype(np.int64))[None]).logits[0].float().numpy()
    mx.save_safetensors(str(folder / "expected.safetensors"), {"tokens": mx.array(tokens), "logits": mx.array(logits)})

    settings = {"group_size": group, "bits": bits, "mode": mode}
    for module, form in exceptions.items():
        mode_of = {"mode": form[2]} if form and len(form) > 2 else {}
        settings[module] = False if form is None else {"group_size": form[1], "bits": form[0]} | mode_of
    config = json.loads(model.config.to_json_string())
    write_json(folder / "config.json", config | {"quantization": settings, "quantization_config": settings})
    write_tokenizer(folder)
    print(f"mlx/{name}: logits from {logits.min():.2f} to {logits.max():.2f}")


def main() -> None:
    torch.set_num_threads(1)
    mx.set_default_device(mx.cpu)
    for name in make_fixtures.FIXTURES:
        if not sys.argv[1:]:
            write_hf(name)
    for name in sys.argv[1:] or MLX:
        write_mlx(name)


if __name__ == "__main__":
    main()
