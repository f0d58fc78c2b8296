"""Mixtures of experts."""

import transformers as hf

from .shapes import COMMON, rope

NARROW = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1)


def qwen3moe():
    return hf.Qwen3MoeForCausalLM(hf.Qwen3MoeConfig(
        **NARROW, **COMMON, head_dim=32, intermediate_size=48, moe_intermediate_size=16,
        num_experts=8, num_experts_per_tok=3, norm_topk_prob=True, tie_word_embeddings=False,
        rope_parameters=rope(1e6)))


def qwen3moe_mixed():
    """Layers without experts, and weights that are not divided by their sum."""
    return hf.Qwen3MoeForCausalLM(hf.Qwen3MoeConfig(
        **{**NARROW, "num_hidden_layers": 4}, **COMMON, head_dim=16, intermediate_size=48, moe_intermediate_size=16,
        num_experts=6, num_experts_per_tok=2, norm_topk_prob=False, decoder_sparse_step=2, mlp_only_layers=[3],
        tie_word_embeddings=True, rope_parameters=rope(1e4))), {"gguf": False}  # the peer's has experts in all layers


def qwen3moe_mlx():
    """Of make_folders.py: rows of whole groups."""
    return hf.Qwen3MoeForCausalLM(hf.Qwen3MoeConfig(
        **NARROW, **COMMON, head_dim=32, intermediate_size=64, moe_intermediate_size=32, num_experts=4,
        num_experts_per_tok=2, norm_topk_prob=True, tie_word_embeddings=False, rope_parameters=rope(1e6)))


def qwen2moe():
    return hf.Qwen2MoeForCausalLM(hf.Qwen2MoeConfig(
        **NARROW, **COMMON, intermediate_size=80, moe_intermediate_size=16, shared_expert_intermediate_size=48,
        num_experts=8, num_experts_per_tok=4, norm_topk_prob=False, tie_word_embeddings=False,
        rope_parameters=rope(1e4)))


def mixtral():
    return hf.MixtralForCausalLM(hf.MixtralConfig(
        **NARROW, **COMMON, intermediate_size=48, num_local_experts=4, num_experts_per_tok=2,
        tie_word_embeddings=False, rope_parameters=rope(1e6)))


def olmoe():
    return hf.OlmoeForCausalLM(hf.OlmoeConfig(
        **NARROW, **COMMON, intermediate_size=16, num_experts=8, num_experts_per_tok=3, norm_topk_prob=False,
        tie_word_embeddings=False, rope_parameters=rope(1e4)))


def granitemoe():
    return hf.GraniteMoeForCausalLM(hf.GraniteMoeConfig(
        **NARROW, **COMMON, intermediate_size=16, num_local_experts=8, num_experts_per_tok=3, tie_word_embeddings=True,
        rope_parameters=rope(1e4), embedding_multiplier=3.0, attention_multiplier=0.3, residual_multiplier=0.4,
        logits_scaling=2.5))


def granitemoe_shared():
    return hf.GraniteMoeSharedForCausalLM(hf.GraniteMoeSharedConfig(
        **NARROW, **COMMON, intermediate_size=16, shared_intermediate_size=48, num_local_experts=4,
        num_experts_per_tok=2, tie_word_embeddings=True, rope_parameters=rope(1e4), embedding_multiplier=2.0,
        attention_multiplier=0.3, residual_multiplier=0.6, logits_scaling=1.5))


FAMILIES = {
    "qwen3moe": qwen3moe,
    "qwen3moe_mixed": qwen3moe_mixed,
    "qwen2moe": qwen2moe,
    "mixtral": mixtral,
    "olmoe": olmoe,
    "granitemoe": granitemoe,
    "granitemoe_shared": granitemoe_shared,
}
