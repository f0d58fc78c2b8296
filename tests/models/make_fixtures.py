#!/usr/bin/env python3
"""Writes the tiny checkpoints in tests/models/fixtures: random weights, and the logits that transformers computes.

    pip install torch==2.8.0 transformers==5.23.0 gguf==0.19.0
    python3 tests/models/make_fixtures.py [NAME ...]

Each file is a GGUF model in llama.cpp's conventions (names, shapes, row order of q and k, norm offsets), all F32, with
two keys of our own: fixture.tokens, T token ids, and fixture.logits, [T, V] f32 values, row after row. The seed is the
name's, so a fixture does not change when another is added.
"""

import math
import pathlib
import sys
import zlib

import gguf
import numpy as np
import torch
import transformers

FOLDER = pathlib.Path(__file__).parent / "fixtures"
VOCAB = 160
TOKENS = 40
BIGRAMS = """t h,h e,i n,e r,a n,r e,o n,a t,e n,n d,t i,e s,o r,t e,o f,e d,i s,i t,a l,a r,s t,t o,
n t,n g,s e,h a,a s,o u,i o,l e,v e,c o,m e,d e,h i,r i,r o,i c,n e,e a,r a,c e,l i,c h,
l l,b e,m a,s i,o m,u r,Ġ t,Ġ a,Ġ s,Ġ w,Ġ o,Ġ c,Ġ b,Ġ p,Ġ m,Ġ f,Ġt he,in g""".replace("\n", "").split(",")
CHAT_TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"

WIDE = dict(hidden_size=64, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
NARROW = dict(hidden_size=32, intermediate_size=64, num_attention_heads=2, num_key_value_heads=1, head_dim=16)
COMMON = dict(vocab_size=VOCAB, max_position_embeddings=1024, bos_token_id=0, eos_token_id=1, pad_token_id=None)


def rope(theta: float, **scaling) -> dict:
    return {"rope_type": "default", "rope_theta": theta, **scaling}


def gemma3(layers: int, period: int, theta: float, theta_window: float) -> transformers.PreTrainedModel:
    kinds = ["full_attention" if (i + 1) % period == 0 else "sliding_attention" for i in range(layers)]
    config = transformers.Gemma3TextConfig(
        **NARROW, **COMMON, num_hidden_layers=layers, layer_types=kinds, sliding_window=8, query_pre_attn_scalar=16,
        rope_parameters={"full_attention": rope(theta), "sliding_attention": rope(theta_window)}, rms_norm_eps=1e-6,
    )
    return transformers.Gemma3ForCausalLM(config)


def llama(tied: bool, rope_parameters: dict) -> transformers.PreTrainedModel:
    config = transformers.LlamaConfig(
        **WIDE, **COMMON, tie_word_embeddings=tied, rope_parameters=rope_parameters, rms_norm_eps=1e-5
    )
    return transformers.LlamaForCausalLM(config)


def qwen2() -> transformers.PreTrainedModel:
    config = transformers.Qwen2Config(
        **WIDE, **COMMON, tie_word_embeddings=True, rope_parameters=rope(1e6), rms_norm_eps=1e-6
    )
    return transformers.Qwen2ForCausalLM(config)


def qwen3() -> transformers.PreTrainedModel:
    wide = {**WIDE, "num_attention_heads": 2, "num_key_value_heads": 1}  # D = 48 is not E / H
    config = transformers.Qwen3Config(
        **wide, **COMMON, head_dim=48, tie_word_embeddings=True, rope_parameters=rope(1e6), rms_norm_eps=1e-6
    )
    return transformers.Qwen3ForCausalLM(config)


def granite() -> transformers.PreTrainedModel:
    config = transformers.GraniteConfig(
        **WIDE, **COMMON, tie_word_embeddings=True, rope_parameters=rope(10000.0), rms_norm_eps=1e-5,
        embedding_multiplier=3.0, attention_multiplier=0.3, residual_multiplier=0.4, logits_scaling=2.5,
    )
    return transformers.GraniteForCausalLM(config)


def olmo2() -> transformers.PreTrainedModel:
    config = transformers.Olmo2Config(
        **WIDE, **COMMON, tie_word_embeddings=False, rope_parameters=rope(500000.0), rms_norm_eps=1e-6
    )
    return transformers.Olmo2ForCausalLM(config)


# Pairs of slow, middling and fast rotation all occur: D = 16, wavelengths of 6 to 20,000 around 128 and 512.
LLAMA3_ROPE = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                   original_max_position_embeddings=512)

FIXTURES = {
    "llama_tied": lambda: llama(True, rope(10000.0)),
    "llama_untied": lambda: llama(False, rope(10000.0)),
    "llama_rope_freqs": lambda: llama(True, {"rope_theta": 10000.0, **LLAMA3_ROPE}),
    "qwen2": qwen2,
    "qwen3": qwen3,
    # As in real files: every sixth layer is global and the other layers' rope base is 10,000, neither of which is said.
    "gemma3": lambda: gemma3(7, 6, 1e6, 10000.0),
    # The same, said by gemma3.attention.sliding_window_pattern and gemma3.rope.freq_base_swa.
    "gemma3_keys": lambda: gemma3(5, 2, 50000.0, 2000.0),
    "granite": granite,
    "olmo2": olmo2,
}


def randomize(model: torch.nn.Module, seed: int) -> None:
    """Weights of the size that keeps activations near one, so that every part of the model shows in the logits."""
    generator = torch.Generator().manual_seed(seed)
    gemma = model.config.model_type.startswith("gemma")
    for name, weight in model.named_parameters():
        values = torch.randn(weight.shape, generator=generator)
        if name.endswith("norm.weight"):
            values = 0.2 * values + (0.0 if gemma else 1.0)
        elif name.endswith("bias"):
            values = 0.3 * values
        else:
            values = values / math.sqrt(weight.shape[1])
        weight.data.copy_(values)


def permuted(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of each head from halves (i, i + D / 2) to pairs (2i, 2i + 1), which llama.cpp rotates in a llama."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def tensor_name(name: str) -> str:
    top = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
           "lm_head.weight": "output.weight"}
    if name in top:
        return top[name]
    _, _, layer, rest = name.split(".", 3)
    part, kind = rest.rsplit(".", 1)
    parts = {
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
        "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
        # With norms on both sides of a part, post_attention_layernorm is what it says; see tensors().
        "pre_feedforward_layernorm": "ffn_norm", "post_feedforward_layernorm": "post_ffw_norm",
    }
    return f"blk.{layer}.{parts[part]}.{kind}"


def tensors(model: transformers.PreTrainedModel):
    config = model.config
    gemma = config.model_type.startswith("gemma")
    for name, weight in model.named_parameters():  # a tied lm_head is listed once
        values = weight.detach().numpy()
        target = tensor_name(name)
        if (gemma or config.model_type == "olmo2") and name.endswith("post_attention_layernorm.weight"):
            target = target.replace("ffn_norm", "post_attention_norm")
        if gemma and name.endswith("norm.weight"):
            values = values + np.float32(1.0)
        permutes = config.model_type in ("llama", "granite")
        if permutes and name.endswith("q_proj.weight"):
            values = permuted(values, config.num_attention_heads)
        if permutes and name.endswith("k_proj.weight"):
            values = permuted(values, config.num_key_value_heads)
        yield target, np.ascontiguousarray(values, dtype=np.float32)
    if config.model_type == "llama" and config.rope_parameters["rope_type"] == "llama3":
        # The file holds what each pair's frequency is divided by.
        plain = config.rope_parameters["rope_theta"] ** (-np.arange(0, 16, 2) / 16)
        yield "rope_freqs.weight", (plain / model.model.rotary_emb.inv_freq.numpy()).astype(np.float32)


def write_metadata(writer: gguf.GGUFWriter, name: str, config: transformers.PreTrainedConfig) -> None:
    writer.add_name(f"pippin fixture {name}")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if writer.arch in ("qwen3", "gemma3"):
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    if writer.arch == "granite":
        writer.add_embedding_scale(config.embedding_multiplier)
        writer.add_attention_scale(config.attention_multiplier)
        writer.add_residual_scale(config.residual_multiplier)
        writer.add_logit_scale(config.logits_scaling)
    if writer.arch in ("llama", "granite"):
        writer.add_vocab_size(config.vocab_size)
        writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    if writer.arch == "gemma3":
        writer.add_rope_freq_base(config.rope_parameters["full_attention"]["rope_theta"])
        writer.add_sliding_window(config.sliding_window)
    else:
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    if name == "gemma3_keys":
        writer.add_sliding_window_pattern(config.layer_types.index("full_attention") + 1)
        writer.add_rope_freq_base_swa(config.rope_parameters["sliding_attention"]["rope_theta"])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)


def write_tokenizer(writer: gguf.GGUFWriter) -> None:
    """A byte-level BPE of ASCII, enough to run the program on a fixture."""
    tokens = ["<s>", "</s>"] + [chr(c) for c in range(33, 127)] + ["Ġ", "Ċ"] + [b.replace(" ", "") for b in BIGRAMS]
    assert len(tokens) == len(set(tokens)) == VOCAB, len(tokens)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL] * (VOCAB - 2))
    writer.add_token_merges(BIGRAMS)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def make(name: str) -> None:
    seed = zlib.crc32(name.encode())
    model = FIXTURES[name]().eval()
    model.set_attn_implementation("eager")
    randomize(model, seed)
    tokens = np.random.default_rng(seed).integers(2, VOCAB, TOKENS, dtype=np.int32)
    with torch.no_grad():
        logits = model(torch.from_numpy(tokens.astype(np.int64))[None]).logits[0].float().numpy()
    assert logits.shape == (TOKENS, VOCAB) and np.isfinite(logits).all()

    path = FOLDER / f"{name}.gguf"
    writer = gguf.GGUFWriter(path, {"gemma3_text": "gemma3"}.get(model.config.model_type, model.config.model_type))
    write_metadata(writer, name, model.config)
    write_tokenizer(writer)
    writer.add_array("fixture.tokens", tokens.tolist())
    writer.add_array("fixture.logits", logits.flatten().tolist())
    for target, values in tensors(model):
        writer.add_tensor(target, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{path.name}: {path.stat().st_size} bytes, logits from {logits.min():.2f} to {logits.max():.2f}")


def main() -> None:
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    for name in sys.argv[1:] or FIXTURES:
        make(name)


if __name__ == "__main__":
    main()
