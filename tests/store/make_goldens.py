#!/usr/bin/env python3
"""Writes dequantize_goldens.gguf: random blocks of every format and the f32 values that the gguf package makes of them.

    pip install gguf==0.19.0 numpy
    python3 tests/store/make_goldens.py

Each format has two tensors: FORMAT.blocks (in that format) and FORMAT.values (F32).
"""

import pathlib

import gguf
import numpy as np

FORMATS = ("F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS MXFP4 NVFP4 IQ1_S IQ1_M IQ2_XXS "
           "IQ2_XS IQ2_S IQ3_XXS IQ3_S TQ1_0 TQ2_0 Q1_0 Q2_0").split()
# Formats of ggml that the package does not know, or does not dequantise: number, elements and bytes of a block.
OWN = {"Q1_0": (41, 128, 18), "Q2_0": (42, 64, 18)}
# Where the f16 scales of a block are; the other bytes may be anything.
SCALES_AT = {
    "F16": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0], "IQ1_S": [0],
    "IQ2_XXS": [0], "IQ2_XS": [0], "IQ2_S": [0], "IQ3_XXS": [0], "IQ3_S": [0], "TQ1_0": [52], "TQ2_0": [64],
    "Q1_0": [0], "Q2_0": [0],
}
BLOCKS = 6
ROW = 256


def own_values(name: str, blocks: np.ndarray) -> np.ndarray:
    """Bits or pairs of bits, the first in the lowest: d * (code - 1), where the codes of bits are 0 and 2."""
    _, elements, size = OWN[name]
    blocks = blocks.reshape(-1, size)
    width = 8 * (size - 2) // elements
    shifts = np.arange(0, 8, width, dtype=np.uint8)
    codes = (blocks[:, 2:, None] >> shifts & (1 << width) - 1).reshape(-1, elements).astype(np.float32)
    d = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    return (d * ((codes * 2 if width == 1 else codes) - 1)).reshape(BLOCKS, ROW)


def random_blocks(name: str, rng: np.random.Generator) -> np.ndarray:
    elements, size = OWN[name][1:] if name in OWN else gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    blocks = rng.integers(0, 256, (BLOCKS * ROW // elements, size), dtype=np.uint8)
    for at in SCALES_AT.get(name, []):
        # All finite f16 bit patterns: both signs, subnormals and zero among them.
        bits = rng.integers(0, 0x7C00, len(blocks), dtype=np.uint16)
        bits |= rng.integers(0, 2, len(blocks), dtype=np.uint16) << 15
        bits[0], bits[1] = 0x0001, 0x83FF  # two subnormals for certain
        blocks[:, at : at + 2] = bits.view(np.uint8).reshape(-1, 2)
    if name == "BF16":
        blocks[:, 1] &= 0xBF  # no exponent of all ones
    if name == "MXFP4":
        blocks[:, 0] = rng.integers(0, 255, len(blocks))  # 255 is NaN in the standard
        blocks[0, 0], blocks[1, 0] = 0, 1
    if name == "NVFP4":
        blocks[:, :4] &= 0x7F  # scales have no sign
        blocks[0, :4] = 0, 1, 7, 0x7F
    if name == "IQ1_M":  # its scale is spread over four bytes
        blocks[:, 55] &= 0xBF
    return blocks.reshape(BLOCKS, -1)


def add_own(writer: gguf.GGUFWriter, name: str, blocks: np.ndarray) -> None:
    """Writes a type that the package cannot name."""
    tensor = f"{name}.blocks"
    writer.add_tensor_info(tensor, (BLOCKS, ROW), np.dtype(np.float32), blocks.nbytes, raw_dtype=OWN[name][0])
    writer.tensors[-1][tensor].tensor = blocks


def main() -> None:
    rng = np.random.default_rng(20240601)
    path = pathlib.Path(__file__).parent / "dequantize_goldens.gguf"
    writer = gguf.GGUFWriter(path, "goldens")
    for name in FORMATS:
        blocks = random_blocks(name, rng)
        if name == "F16":
            writer.add_tensor("F16.blocks", blocks.view(np.float16))
            values = blocks.view(np.float16).astype(np.float32)
        elif name in OWN:
            add_own(writer, name, blocks)
            values = own_values(name, blocks)
        else:
            kind = gguf.GGMLQuantizationType[name]
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
