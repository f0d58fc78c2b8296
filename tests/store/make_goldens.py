#!/usr/bin/env python3
"""Writes dequantize_goldens.gguf: random blocks of every format and the f32 values that the gguf package makes of them.

    pip install gguf==0.19.0 numpy
    python3 tests/store/make_goldens.py

Each format has two tensors: FORMAT.blocks (in that format) and FORMAT.values (F32).
"""

import pathlib

import gguf
import numpy as np

FORMATS = "F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS MXFP4".split()
# Where the f16 scales of a block are; the other bytes may be anything.
SCALES_AT = {
    "F16": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0],
}
BLOCKS = 6
ROW = 256


def random_blocks(kind: gguf.GGMLQuantizationType, rng: np.random.Generator) -> np.ndarray:
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (BLOCKS * ROW // elements, size), dtype=np.uint8)
    for at in SCALES_AT.get(kind.name, []):
        # All finite f16 bit patterns: both signs, subnormals and zero among them.
        bits = rng.integers(0, 0x7C00, len(blocks), dtype=np.uint16)
        bits |= rng.integers(0, 2, len(blocks), dtype=np.uint16) << 15
        bits[0], bits[1] = 0x0001, 0x83FF  # two subnormals for certain
        blocks[:, at : at + 2] = bits.view(np.uint8).reshape(-1, 2)
    if kind.name == "BF16":
        blocks[:, 1] &= 0xBF  # no exponent of all ones
    if kind.name == "MXFP4":
        blocks[:, 0] = rng.integers(0, 255, len(blocks))  # 255 is NaN in the standard
        blocks[0, 0], blocks[1, 0] = 0, 1
    return blocks.reshape(BLOCKS, -1)


def main() -> None:
    rng = np.random.default_rng(20240601)
    path = pathlib.Path(__file__).parent / "dequantize_goldens.gguf"
    writer = gguf.GGUFWriter(path, "goldens")
    for name in FORMATS:
        kind = gguf.GGMLQuantizationType[name]
        blocks = random_blocks(kind, rng)
        if name == "F16":
            writer.add_tensor("F16.blocks", blocks.view(np.float16))
            values = blocks.view(np.float16).astype(np.float32)
        else:
            writer.add_tensor(f"{name}.blocks", blocks, raw_dtype=kind)
            values = gguf.quants.dequantize(blocks, kind)
        assert values.shape == (BLOCKS, ROW) and np.isfinite(values).all(), name
        writer.add_tensor(f"{name}.values", values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
