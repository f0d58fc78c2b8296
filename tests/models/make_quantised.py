#!/usr/bin/env python3
"""Writes tiny checkpoints as other tools quantise them: GPTQ, AWQ, compressed-tensors, FP8.

    pip install torch==2.8.0 transformers==5.23.0 gguf==0.19.0 'mlx[cpu]==0.32.4' compressed-tensors==0.20.0
    python3 tests/models/make_quantised.py [NAME ...]

fixtures/quantised/NAME is the model of fixtures/llama_untied.gguf, its linear layers rounded to nearest.
expected.safetensors has the logits that transformers computes with the values below. Those of compressed-tensors and of
FP8 are compared with what the libraries' own functions give, in the dtype in which they compute. Where the weights are
held as Q8_0 (src/store/unpack.h), the values are rounded so, by the gguf package.
"""

import json
import shutil
import sys

import numpy as np
import torch
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32
from compressed_tensors.quantization import QuantizationArgs
from compressed_tensors.quantization.lifecycle.forward import dequantize as library_dequantize
from safetensors.torch import save_file
from transformers.integrations.finegrained_fp8 import Fp8Dequantize

import make_fixtures
import make_folders
from make_folders import as_q8

GROUP = 32
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


def rounded(weight: np.ndarray, bits: int, groups: np.ndarray):
    """Codes [N, K], scales in f16 and zeros [N, G]; column k is of groups[k]."""
    most = (1 << bits) - 1
    count = groups.max() + 1
    low = np.stack([np.minimum(weight[:, groups == g].min(1), -1e-3) for g in range(count)], 1)
    high = np.stack([np.maximum(weight[:, groups == g].max(1), 1e-3) for g in range(count)], 1)
    scales = ((high - low) / most).astype(np.float16)
    zeros = np.clip(np.rint(-low / scales.astype(np.float32)), 1, most).astype(np.int64)
    wide = scales.astype(np.float32)
    codes = np.clip(np.rint(weight / wide[:, groups]) + zeros[:, groups], 0, most).astype(np.int64)
    return codes, scales, zeros


def values_of(codes: np.ndarray, scales: np.ndarray, zeros: np.ndarray, groups: np.ndarray) -> np.ndarray:
    return (codes - zeros[:, groups]).astype(np.float32) * scales.astype(np.float32)[:, groups]


def words(codes: np.ndarray, bits: int) -> torch.Tensor:
    """Rows of codes as streams of bits in words of 32."""
    stream = (codes[..., None] >> np.arange(bits) & 1).reshape(len(codes), -1, 32).astype(np.uint64)
    return torch.from_numpy((stream << np.arange(32, dtype=np.uint64)).sum(-1).astype(np.uint32).view(np.int32))


def gptq(weight, rng, bits=4, in_order=True, second_form=False):
    columns = weight.shape[1]
    groups = np.arange(columns) // GROUP if in_order else rng.permutation(np.arange(columns) // GROUP)
    codes, scales, zeros = rounded(weight, bits, groups)
    tensors = {
        "qweight": words(codes, bits).T.contiguous(), "scales": torch.from_numpy(scales.T.copy()),
        "qzeros": words((zeros - (not second_form)).T, bits), "g_idx": torch.from_numpy(groups.astype(np.int32))}
    values = values_of(codes, scales, zeros, groups)
    return tensors, values if in_order else as_q8(values)


def awq(weight, rng):
    groups = np.arange(weight.shape[1]) // GROUP
    codes, scales, zeros = rounded(weight, 4, groups)

    def packed(numbers):
        shape = (*numbers.shape[:-1], -1, 8)
        return words(numbers.reshape(shape)[..., AWQ_ORDER].reshape(numbers.shape), 4)

    tensors = {"qweight": packed(codes.T), "qzeros": packed(zeros.T), "scales": torch.from_numpy(scales.T.copy())}
    return tensors, values_of(codes, scales, zeros, groups)


def packed_ints(weight, rng, bits=4, symmetric=True):
    """compressed-tensors' pack-quantized: codes and zeros are signed."""
    groups = np.arange(weight.shape[1]) // GROUP
    codes, scales, zeros = rounded(weight, bits, groups)
    half = 1 << bits - 1
    zeros = np.full_like(zeros, half) if symmetric else zeros
    signed = torch.from_numpy(codes - half).to(torch.int8)
    signed_zeros = torch.from_numpy(zeros - half).to(torch.int8)
    half_scales = torch.from_numpy(scales).to(torch.bfloat16)
    tensors = {"weight_packed": pack_to_int32(signed, bits), "weight_scale": half_scales,
               "weight_shape": torch.tensor(weight.shape)}
    if not symmetric:
        tensors["weight_zero_point"] = pack_to_int32(signed_zeros, bits, packed_dim=0).contiguous()
    values = values_of(codes, half_scales.float().numpy(), zeros, groups)
    args = QuantizationArgs(num_bits=bits, symmetric=symmetric, strategy="group", group_size=GROUP)
    theirs = library_dequantize(signed, half_scales, signed_zeros, args=args)
    assert torch.equal(theirs, torch.from_numpy(values).to(theirs.dtype))
    return tensors, values


def int8(weight, rng):
    scale = torch.from_numpy(np.abs(weight).max(1, keepdims=True) / 127).to(torch.bfloat16)
    codes = torch.clamp(torch.round(torch.from_numpy(weight) / scale.float()), -127, 127).to(torch.int8)
    theirs = library_dequantize(codes, scale, args=QuantizationArgs(num_bits=8, strategy="channel"))
    values = codes.float() * scale.float()
    assert torch.equal(theirs, values.to(theirs.dtype))
    return {"weight": codes, "weight_scale": scale}, values.numpy()


def fp8(weight, rng, block=None):
    """With scales of blocks, of rows (block: 0), or of the whole weight."""
    rows, columns = weight.shape
    height, width = (block, block) if block else (1, columns) if block == 0 else (rows, columns)
    tiles = torch.from_numpy(weight).reshape(rows // height, height, columns // width, width)
    scale = tiles.abs().amax((1, 3), keepdim=True) / 448
    codes = (tiles / scale).to(torch.float8_e4m3fn).reshape(rows, columns)
    values = (codes.float().reshape(tiles.shape) * scale).reshape(rows, columns)
    flat = scale.reshape(rows // height, columns // width)
    theirs = Fp8Dequantize(None)._dequantize_one(codes, flat, torch.float32)
    assert torch.equal(theirs, values)
    name = "weight_scale_inv" if block else "weight_scale"
    return {"weight": codes, name: flat if block or block == 0 else flat.reshape(())}, as_q8(values.numpy())


def compressed(form, **weights):
    return {"quant_method": "compressed-tensors", "format": form, "quantization_status": "compressed",
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}}, "ignore": ["lm_head"]}


GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": GROUP, "desc_act": False, "sym": False}
METHODS = {
    "gptq": (gptq, {}, GPTQ),
    "gptq_3bit": (gptq, {"bits": 3, "second_form": True}, GPTQ | {"bits": 3, "checkpoint_format": "gptq_v2"}),
    "gptq_order": (gptq, {"in_order": False}, GPTQ | {"desc_act": True}),
    "awq": (awq, {}, {"quant_method": "awq", "bits": 4, "group_size": GROUP, "zero_point": True, "version": "gemm"}),
    "int4": (packed_ints, {}, compressed("pack-quantized", num_bits=4, strategy="group", group_size=GROUP)),
    "int4_zeros": (packed_ints, {"symmetric": False},
                   compressed("pack-quantized", num_bits=4, strategy="group", group_size=GROUP, symmetric=False)),
    "int8_packed": (packed_ints, {"bits": 8},
                    compressed("pack-quantized", num_bits=8, strategy="group", group_size=GROUP)),
    "int8": (int8, {}, compressed("int-quantized", num_bits=8, strategy="channel")),
    "fp8": (fp8, {}, compressed("float-quantized", num_bits=8, type="float", strategy="tensor")),
    "fp8_rows": (fp8, {"block": 0}, compressed("float-quantized", num_bits=8, type="float", strategy="channel")),
    "fp8_blocks": (fp8, {"block": 32}, {"quant_method": "fp8", "weight_block_size": [32, 32]}),
}


def write(name: str) -> None:
    quantise, options, config = METHODS[name]
    folder = make_folders.FOLDERS / "quantised" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model = make_folders.make_model("llama_untied")
    rng = np.random.default_rng(list(METHODS).index(name))
    written, state = {}, {}
    for full, weight in model.named_parameters():
        if full.endswith("_proj.weight"):
            module = full.removesuffix(".weight")
            tensors, values = quantise(weight.detach().numpy(), rng, **options)
            written |= {f"{module}.{kind}": tensor for kind, tensor in tensors.items()}
            state[full] = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
        else:
            written[full] = weight.detach().to(torch.bfloat16)
            state[full] = written[full].float()
    if name == "fp8":  # what a static scale of activations looks like, which is not used
        written["model.layers.0.self_attn.q_proj.input_scale"] = torch.tensor(0.5)
    save_file(written, folder / "model.safetensors", metadata={"format": "pt"})
    model.load_state_dict(state)
    tokens = np.random.default_rng(1).integers(2, make_fixtures.VOCAB, make_fixtures.TOKENS, dtype=np.int32)
    with torch.no_grad():
        logits = model(torch.from_numpy(tokens.astype(np.int64))[None]).logits[0].float()
    save_file({"tokens": torch.from_numpy(tokens), "logits": logits.contiguous()}, folder / "expected.safetensors")
    make_folders.write_json(folder / "config.json",
                            json.loads(model.config.to_json_string()) | {"quantization_config": config})
    print(f"quantised/{name}: logits from {logits.min():.2f} to {logits.max():.2f}")


def main() -> None:
    torch.set_num_threads(1)
    for name in sys.argv[1:] or METHODS:
        write(name)


if __name__ == "__main__":
    main()
