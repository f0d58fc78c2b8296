#!/usr/bin/env python3
"""Writes a GGUF v3 file of a llama-shaped model with random F16 weights, to measure speed without real ones.

    random_gguf.py OUT.gguf [--shape 8b|1b|tiny]

One random block of values is tiled over each tensor. The file has no vocabulary; token ids are given as numbers.
Needs numpy. Source of the layout: the GGUF specification.
"""
import argparse
import struct

import numpy as np

SHAPES = {  # E, L, H, K, D, F, V
    "8b": (4096, 32, 32, 8, 128, 14336, 128256),
    "1b": (2048, 16, 32, 8, 64, 8192, 128256),
    "tiny": (256, 2, 4, 2, 64, 512, 1024),
}


def text(s):
    return struct.pack("<Q", len(s)) + s.encode()


def key_u32(key, value):
    return text(key) + struct.pack("<II", 4, value)


def key_f32(key, value):
    return text(key) + struct.pack("<If", 6, value)


def key_str(key, value):
    return text(key) + struct.pack("<I", 8) + text(value)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--shape", default="8b", choices=SHAPES)
    args = parser.parse_args()
    e, layers, heads, kv, dim, ff, vocab = SHAPES[args.shape]
    meta = [
        key_str("general.architecture", "llama"),
        key_u32("llama.block_count", layers),
        key_u32("llama.context_length", 131072),
        key_u32("llama.embedding_length", e),
        key_u32("llama.feed_forward_length", ff),
        key_u32("llama.attention.head_count", heads),
        key_u32("llama.attention.head_count_kv", kv),
        key_u32("llama.attention.key_length", dim),
        key_u32("llama.attention.value_length", dim),
        key_u32("llama.rope.dimension_count", dim),
        key_f32("llama.rope.freq_base", 500000.0),
        key_f32("llama.attention.layer_norm_rms_epsilon", 1e-5),
        key_u32("llama.vocab_size", vocab),
        key_str("tokenizer.ggml.model", "no_vocab"),
    ]
    tensors = [("token_embd.weight", (vocab, e)), ("output.weight", (vocab, e)), ("output_norm.weight", (e,))]
    for i in range(layers):
        shapes = {
            "attn_norm": (e,), "ffn_norm": (e,), "attn_q": (heads * dim, e), "attn_k": (kv * dim, e),
            "attn_v": (kv * dim, e), "attn_output": (e, heads * dim), "ffn_gate": (ff, e), "ffn_up": (ff, e),
            "ffn_down": (e, ff),
        }
        tensors += [(f"blk.{i}.{name}.weight", shape) for name, shape in shapes.items()]
    rng = np.random.default_rng(1)
    pattern = (rng.standard_normal(1 << 22) * 0.02).astype(np.float16)
    header = struct.pack("<IIQQ", 0x46554747, 3, len(tensors), len(meta)) + b"".join(meta)
    offset = 0
    for name, shape in tensors:
        norm = len(shape) == 1
        header += text(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", d) for d in reversed(shape))
        header += struct.pack("<IQ", 0 if norm else 1, offset)
        size = int(np.prod(shape)) * (4 if norm else 2)
        offset += (size + 31) // 32 * 32
    with open(args.out, "wb") as f:
        f.write(header + b"\0" * (-len(header) % 32))
        for name, shape in tensors:
            if len(shape) == 1:
                data = np.ones(shape, np.float32).tobytes()
                f.write(data + b"\0" * (-len(data) % 32))
                continue
            left = int(np.prod(shape))
            while left:
                n = min(left, pattern.size)
                f.write(pattern[:n].tobytes())
                left -= n


if __name__ == "__main__":
    main()
