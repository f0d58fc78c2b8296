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


def phimoe():
    return hf.PhimoeForCausalLM(hf.PhimoeConfig(
        **NARROW, **COMMON, intermediate_size=16, num_local_experts=8, num_experts_per_tok=2, attention_bias=True,
        lm_head_bias=True, tie_word_embeddings=False, rope_parameters=rope(1e4)))


def phimoe_long():
    """LongRoPE with a magnitude of its own, and a router that takes more experts for close ones."""
    return hf.PhimoeForCausalLM(hf.PhimoeConfig(
        **NARROW, **{**COMMON, "max_position_embeddings": 64}, intermediate_size=16, num_local_experts=8,
        num_experts_per_tok=2, router_jitter_noise=0.2, tie_word_embeddings=False, rope_parameters=dict(
            rope_type="longrope", rope_theta=1e4, original_max_position_embeddings=64, factor=1.0,
            short_factor=[1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7],
            long_factor=[1.0, 1.2, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0],
            short_mscale=1.3, long_mscale=1.3))), {"gguf": False}  # the peer keeps neither


def glm4moe():
    """A layer without experts first; groups; norms of heads; half of each head rotated."""
    return hf.Glm4MoeForCausalLM(hf.Glm4MoeConfig(
        **NARROW, **COMMON, head_dim=32, intermediate_size=48, moe_intermediate_size=16, n_routed_experts=8,
        num_experts_per_tok=2, n_shared_experts=2, routed_scaling_factor=1.7, first_k_dense_replace=1,
        n_group=4, topk_group=2, use_qk_norm=True, attention_bias=True, tie_word_embeddings=False,
        rope_parameters=rope(1e4, partial_rotary_factor=0.5)))


def glm4moe_plain():
    return hf.Glm4MoeForCausalLM(hf.Glm4MoeConfig(
        **NARROW, **COMMON, head_dim=16, intermediate_size=48, moe_intermediate_size=16, n_routed_experts=6,
        num_experts_per_tok=2, n_shared_experts=1, routed_scaling_factor=1.3, first_k_dense_replace=1,
        use_qk_norm=False, attention_bias=True, tie_word_embeddings=False,
        rope_parameters=rope(1e4, partial_rotary_factor=0.5)))


def gptoss():
    return hf.GptOssForCausalLM(hf.GptOssConfig(
        **{**NARROW, "num_hidden_layers": 3}, **COMMON, head_dim=16, intermediate_size=16, num_local_experts=4,
        num_experts_per_tok=2, sliding_window=8, tie_word_embeddings=False, rope_parameters=dict(
            rope_type="yarn", rope_theta=150000.0, factor=8.0, beta_fast=8.0, beta_slow=1.0, truncate=False,
            original_max_position_embeddings=128)))


def ernie45moe():
    return hf.Ernie4_5_MoeForCausalLM(hf.Ernie4_5_MoeConfig(
        **NARROW, **COMMON, intermediate_size=32, moe_intermediate_size=16, moe_num_experts=6, moe_k=2,
        moe_num_shared_experts=2, moe_layer_start_index=1, tie_word_embeddings=True, rope_parameters=rope(5e5)))


def hunyuanmoe():
    return hf.HunYuanMoEV1ForCausalLM(hf.HunYuanMoEV1Config(
        **NARROW, **COMMON, head_dim=16, intermediate_size=16, moe_intermediate_size=[16, 16], num_shared_expert=[1, 1],
        num_experts=6, moe_topk=[2, 2], tie_word_embeddings=True, rope_parameters=rope(1e4)))


def minimaxm2():
    return hf.MiniMaxM2ForCausalLM(hf.MiniMaxM2Config(
        **NARROW, **COMMON, head_dim=32, rotary_dim=16, intermediate_size=16, num_local_experts=8,
        num_experts_per_tok=3, tie_word_embeddings=False, rope_parameters=rope(5e6, partial_rotary_factor=0.5)))


def dots1():
    return hf.Dots1ForCausalLM(hf.Dots1Config(
        **NARROW, **COMMON, intermediate_size=48, moe_intermediate_size=16, n_routed_experts=8, num_experts_per_tok=3,
        n_shared_experts=2, first_k_dense_replace=1, norm_topk_prob=True, routed_scaling_factor=2.5,
        tie_word_embeddings=False, sliding_window=None, rope_parameters=rope(1e4)))


FAMILIES = {
    "qwen3moe": qwen3moe,
    "qwen3moe_mixed": qwen3moe_mixed,
    "qwen2moe": qwen2moe,
    "mixtral": mixtral,
    "olmoe": olmoe,
    "granitemoe": granitemoe,
    "granitemoe_shared": granitemoe_shared,
    "phimoe": phimoe,
    "phimoe_long": phimoe_long,
    "glm4moe": glm4moe,
    "glm4moe_plain": glm4moe_plain,
    "gptoss": gptoss,
    "ernie45moe": ernie45moe,
    "hunyuanmoe": hunyuanmoe,
    "minimaxm2": minimaxm2,
    "dots1": dots1,
}
