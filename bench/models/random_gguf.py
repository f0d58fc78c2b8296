#!/usr/bin/env python3
"""Writes a GGUF v3 file with random weights in a real model's shape, to measure speed without the real one.

    random_gguf.py OUT.gguf [--shape 8b|1b|tiny|olmoe|hybrid|latent] [--type F16|Q4_K_M] [--layers N]

olmoe: OLMoE 1B-7B. hybrid: Qwen3.5 0.8B. latent: DeepSeek-V2-Lite, 9 of its 27 layers. The others are Llama 3's.
Q4_K_M mixes types as llama-quantize does: Q6_K for the output and for some values and down projections, Q5_0 and Q8_0
where rows are no multiple of 256. One random pattern of blocks is tiled over each tensor. The file has no vocabulary;
token ids are given as numbers. Needs numpy. Source of the layout: the GGUF specification, ggml's block structs.
"""
import argparse
import struct

import numpy as np

SPREAD = 0.02  # the weights' standard deviation
LLAMA = {  # E, L, H, K, D, F, V
    "8b": (4096, 32, 32, 8, 128, 14336, 128256),
    "1b": (2048, 16, 32, 8, 64, 8192, 128256),
    "tiny": (256, 2, 4, 2, 64, 512, 1024),
}
TYPES = {"F32": (0, 1, 4), "F16": (1, 1, 2), "Q5_0": (6, 32, 22), "Q8_0": (8, 32, 34), "Q4_K": (12, 256, 144),
         "Q6_K": (14, 256, 210)}  # number, values of a block, bytes of a block


def text(s):
    return struct.pack("<Q", len(s)) + s.encode()


def key(name, value):
    """A metadata entry: text, a float, a whole number, or a list of whole numbers."""
    if isinstance(value, str):
        return text(name) + struct.pack("<I", 8) + text(value)
    if isinstance(value, float):
        return text(name) + struct.pack("<If", 6, value)
    if isinstance(value, list):
        return text(name) + struct.pack("<IIQ", 9, 4, len(value)) + struct.pack(f"<{len(value)}I", *value)
    return text(name) + struct.pack("<II", 4, value)


def attention_shapes(e, heads, kv, dim):
    return {"attn_norm": (e,), "attn_q": (heads * dim, e), "attn_k": (kv * dim, e), "attn_v": (kv * dim, e),
            "attn_output": (e, heads * dim)}


def mlp_shapes(e, ff):
    return {"ffn_norm": (e,), "ffn_gate": (ff, e), "ffn_up": (ff, e), "ffn_down": (e, ff)}


def expert_shapes(e, ff, experts):
    return {"ffn_norm": (e,), "ffn_gate_inp": (experts, e), "ffn_gate_exps": (experts, ff, e),
            "ffn_up_exps": (experts, ff, e), "ffn_down_exps": (experts, e, ff)}


# Each returns the architecture's name, its keys without the prefix, the size of the vocabulary, whether the output is
# the embedding, and the shapes of each layer's tensors (rows first).
def llama(shape, layers):
    e, every, heads, kv, dim, ff, vocab = LLAMA[shape]
    keys = {"context_length": 131072, "embedding_length": e, "feed_forward_length": ff, "attention.head_count": heads,
            "attention.head_count_kv": kv, "attention.key_length": dim, "attention.value_length": dim,
            "rope.dimension_count": dim, "rope.freq_base": 500000.0, "attention.layer_norm_rms_epsilon": 1e-5}
    block = attention_shapes(e, heads, kv, dim) | mlp_shapes(e, ff)
    return "llama", keys, vocab, False, [block] * (layers or every)


def olmoe(_, layers):
    e, heads, ff, experts = 2048, 16, 1024, 64
    keys = {"context_length": 4096, "embedding_length": e, "feed_forward_length": ff, "attention.head_count": heads,
            "attention.head_count_kv": heads, "rope.freq_base": 10000.0, "attention.layer_norm_rms_epsilon": 1e-5,
            "expert_count": experts, "expert_used_count": 8}
    block = attention_shapes(e, heads, heads, e // heads) | {"attn_q_norm": (e,), "attn_k_norm": (e,)}
    return "olmoe", keys, 50304, False, [block | expert_shapes(e, ff, experts)] * (layers or 16)


def hybrid(_, layers):
    e, heads, kv, dim, ff, every = 1024, 8, 2, 256, 3584, 4
    state_heads, state = 16, 128
    inner = state_heads * state
    keys = {"context_length": 262144, "embedding_length": e, "feed_forward_length": ff, "attention.head_count": heads,
            "attention.head_count_kv": kv, "attention.key_length": dim, "attention.value_length": dim,
            "rope.dimension_count": 64, "rope.dimension_sections": [11, 11, 10, 0], "rope.freq_base": 1e7,
            "attention.layer_norm_rms_epsilon": 1e-6, "ssm.conv_kernel": 4, "ssm.state_size": state,
            "ssm.group_count": state_heads, "ssm.time_step_rank": state_heads, "ssm.inner_size": inner,
            "full_attention_interval": every}
    mlp = mlp_shapes(e, ff)
    mlp["post_attention_norm"] = mlp.pop("ffn_norm")
    full = attention_shapes(e, heads, kv, dim) | {"attn_q_norm": (dim,), "attn_k_norm": (dim,)} | mlp
    full["attn_q"] = (2 * heads * dim, e)  # each head's query and its gate
    recurrent = {"attn_norm": (e,), "attn_qkv": (3 * inner, e), "attn_gate": (inner, e), "ssm_a": (state_heads,),
                 "ssm_dt": (state_heads,), "ssm_conv1d": (3 * inner, 4), "ssm_alpha": (state_heads, e),
                 "ssm_beta": (state_heads, e), "ssm_norm": (state,), "ssm_out": (e, inner)} | mlp
    return "qwen35", keys, 248320, True, [full if i % every == every - 1 else recurrent for i in range(layers or 24)]


def latent(_, layers):
    e, heads, rank, nope, rope, value, ff, experts = 2048, 16, 512, 128, 64, 128, 1408, 64
    keys = {"context_length": 163840, "embedding_length": e, "feed_forward_length": 10944,
            "attention.head_count": heads, "attention.head_count_kv": 1, "rope.freq_base": 10000.0,
            "attention.layer_norm_rms_epsilon": 1e-6,
            "attention.key_length": rank + rope, "attention.value_length": rank, "attention.kv_lora_rank": rank,
            "attention.key_length_mla": nope + rope, "attention.value_length_mla": value, "rope.dimension_count": rope,
            "expert_count": experts, "expert_used_count": 6, "expert_shared_count": 2, "expert_weights_scale": 1.0,
            "expert_feed_forward_length": ff, "leading_dense_block_count": 1}
    attention = {"attn_norm": (e,), "attn_kv_a_norm": (rank,), "attn_kv_a_mqa": (rank + rope, e),
                 "attn_k_b": (heads, rank, nope), "attn_v_b": (heads, value, rank), "attn_output": (e, heads * value),
                 "attn_q": (heads * (nope + rope), e)}
    shared = {"ffn_gate_shexp": (2 * ff, e), "ffn_up_shexp": (2 * ff, e), "ffn_down_shexp": (e, 2 * ff)}
    sparse = attention | expert_shapes(e, ff, experts) | shared
    return "deepseek2", keys, 102400, False, [attention | mlp_shapes(e, 10944)] + [sparse] * ((layers or 9) - 1)


MAKERS = dict.fromkeys(LLAMA, llama) | {"olmoe": olmoe, "hybrid": hybrid, "latent": latent}
FULL = ("ffn_gate_inp", "ssm_conv1d")  # never quantised


def type_of(name, shape, layer, layers, kind):
    """The tensor's type; llama-quantize's rules for Q4_K_M."""
    if len(shape) == 1 or name in FULL:
        return "F32"
    if kind == "F16":
        return "F16"
    more = layer is not None and (layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2)
    fine = name == "output" or (more and (name in ("attn_v", "attn_v_b") or name.startswith("ffn_down")))
    if shape[-1] % 256:
        return "Q8_0" if fine else "Q5_0"
    return "Q6_K" if fine else "Q4_K"


def pattern_of(kind, rng):
    """Some MiB of random blocks whose values spread evenly around zero."""
    if kind == "F16":
        return (rng.standard_normal(1 << 22) * SPREAD).astype(np.float16).tobytes()
    blocks = rng.integers(0, 256, ((4 << 20) // TYPES[kind][2], TYPES[kind][2]), np.uint8)

    def put(start, value):
        blocks[:, start:start + 2] = np.frombuffer(np.float16(value).tobytes(), np.uint8)

    if kind == "Q4_K":  # all scales and minima are 32 steps: a value is 32 d (q - 7.5)
        d = SPREAD / (32 * 4.6)
        put(0, d)
        put(2, 7.5 * d)
        blocks[:, 4:12] = 0xA0
        blocks[:, 12:16] = 0
    elif kind == "Q6_K":  # all scales are 16 steps
        blocks[:, 192:208] = 16
        put(208, SPREAD / (16 * 18.5))
    elif kind == "Q5_0":
        put(0, SPREAD / 9.2)
    else:
        put(0, SPREAD / 74)
    return blocks.tobytes()


def single(name, size):
    """The values of a tensor that is kept whole: decay rates below zero, ones for norms, random rows."""
    if name == "ssm_a":
        return np.full(size, -1, np.float32)
    if name in FULL:
        return (np.random.default_rng(2).standard_normal(size) * SPREAD).astype(np.float32)
    return np.full(size, 0.1 if name == "ssm_dt" else 1, np.float32)


def file_name(name, layer):
    suffix = {"ssm_a": "", "ssm_dt": ".bias"}.get(name, ".weight")
    return (f"blk.{layer}." if layer is not None else "") + name + suffix


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--shape", default="8b", choices=MAKERS)
    parser.add_argument("--type", default="F16", choices=["F16", "Q4_K_M"])
    parser.add_argument("--layers", type=int, help="instead of the model's own number")
    args = parser.parse_args()
    arch, keys, vocab, tied, layers = MAKERS[args.shape](args.shape, args.layers)
    meta = [key("general.architecture", arch), key("general.file_type", 1 if args.type == "F16" else 15),
            key("tokenizer.ggml.model", "no_vocab"), key(f"{arch}.block_count", len(layers)),
            key(f"{arch}.vocab_size", vocab), *(key(f"{arch}.{name}", value) for name, value in keys.items())]
    e = keys["embedding_length"]
    tensors = [("token_embd", None, (vocab, e)), ("output_norm", None, (e,))]
    if not tied:
        tensors.append(("output", None, (vocab, e)))
    tensors += [(name, i, shape) for i, block in enumerate(layers) for name, shape in block.items()]
    rows, offset, header = [], 0, b""
    for name, layer, shape in tensors:
        kind = type_of(name, shape, layer, len(layers), args.type)
        number, values, size = TYPES[kind]
        count = int(np.prod(shape))
        header += text(file_name(name, layer)) + struct.pack("<I", len(shape))
        header += b"".join(struct.pack("<Q", d) for d in reversed(shape)) + struct.pack("<IQ", number, offset)
        rows.append((name, kind, count, count // values * size))
        offset += -(-rows[-1][3] // 32) * 32
    header = struct.pack("<IIQQ", 0x46554747, 3, len(tensors), len(meta)) + b"".join(meta) + header
    rng = np.random.default_rng(1)
    patterns = {kind: pattern_of(kind, rng) for kind in sorted({kind for _, kind, _, _ in rows} - {"F32"})}
    with open(args.out, "wb") as f:
        f.write(header + b"\0" * (-len(header) % 32))
        for name, kind, count, size in rows:
            if kind == "F32":
                f.write(single(name, count).tobytes())
            else:
                full, rest = divmod(size, len(patterns[kind]))
                for _ in range(full):
                    f.write(patterns[kind])
                f.write(patterns[kind][:rest])
            f.write(b"\0" * (-size % 32))


if __name__ == "__main__":
    main()
