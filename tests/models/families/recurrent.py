"""Recurrent models and hybrids."""

import torch
import transformers as hf

from .shapes import COMMON, VOCAB, rope

SMALL = dict(hidden_size=32, num_attention_heads=2, num_key_value_heads=1)


def lfm2():
    return hf.Lfm2ForCausalLM(hf.Lfm2Config(
        **SMALL, **COMMON, intermediate_size=128, num_hidden_layers=4, tie_word_embeddings=True,
        rope_parameters=rope(1e4), conv_L_cache=4, block_multiple_of=32,
        layer_types=["conv", "full_attention", "conv", "conv"]))


def predict_further(tensors: dict) -> dict:
    """A layer that predicts the token after the next, as Qwen 3.5's files have it; it changes no answer."""
    layer = {k.replace("model.layers.2.", "mtp.layers.0."): v for k, v in tensors.items()
             if k.startswith("model.layers.2.")}
    norm = tensors["model.norm.weight"]
    joined = torch.cat([tensors["model.layers.2.self_attn.k_proj.weight"][:16]] * 4, dim=1)
    return layer | {"mtp.fc.weight": torch.cat([joined[:, :64]] * 2), "mtp.norm.weight": norm,
                    "mtp.pre_fc_norm_embedding.weight": norm, "mtp.pre_fc_norm_hidden.weight": norm}


def qwen35():
    return hf.Qwen3_5ForCausalLM(hf.Qwen3_5TextConfig(
        **SMALL, **COMMON, intermediate_size=48, num_hidden_layers=4, head_dim=16, tie_word_embeddings=True,
        full_attention_interval=3, linear_num_key_heads=2, linear_num_value_heads=6, linear_key_head_dim=16,
        linear_value_head_dim=16,
        rope_parameters=rope(1e4, partial_rotary_factor=0.5, mrope_section=[2, 1, 1]),
        mtp_num_hidden_layers=1)), {"offset_norms": True, "further": predict_further}


def mamba2():
    return hf.Mamba2ForCausalLM(hf.Mamba2Config(
        vocab_size=VOCAB, hidden_size=32, num_hidden_layers=3, num_heads=4, head_dim=16, state_size=24, n_groups=2,
        conv_kernel=4, chunk_size=16, tie_word_embeddings=False, time_step_limit=(0.1, 2.0),
        bos_token_id=0, eos_token_id=1, pad_token_id=None)), {"gguf": False}


def mamba2_tied():
    return hf.Mamba2ForCausalLM(hf.Mamba2Config(
        vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_heads=4, head_dim=16, state_size=24, n_groups=2,
        conv_kernel=4, chunk_size=16, tie_word_embeddings=True, bos_token_id=0, eos_token_id=1, pad_token_id=None))


def granite_hybrid():
    return hf.GraniteMoeHybridForCausalLM(hf.GraniteMoeHybridConfig(
        **SMALL, **COMMON, intermediate_size=48, shared_intermediate_size=48, num_hidden_layers=4,
        num_local_experts=0, num_experts_per_tok=0, tie_word_embeddings=True, mamba_n_heads=4, mamba_d_state=24,
        mamba_n_groups=1, mamba_d_conv=4, mamba_chunk_size=16, attention_multiplier=0.3, embedding_multiplier=3.0,
        residual_multiplier=0.7, logits_scaling=2.0, layer_types=["mamba", "attention", "mamba", "mamba"])), {
            "config": {"layer_types": ["mamba", "attention", "mamba", "mamba"]}}  # older names


def nemotron_h():
    return hf.NemotronHForCausalLM(hf.NemotronHConfig(
        **SMALL, **COMMON, head_dim=16, intermediate_size=48, tie_word_embeddings=False, mamba_num_heads=4,
        mamba_head_dim=16, ssm_state_size=24, n_groups=2, chunk_size=16, mamba_proj_bias=False,
        layer_types=["linear_attention", "mlp", "full_attention", "linear_attention", "mlp"])), {
            "config": {"num_hidden_layers": 5, "hybrid_override_pattern": "M-*M-",
                       "layers_block_type": ["mamba", "mlp", "attention", "mamba", "mlp"],
                       "n_routed_experts": None, "num_experts_per_tok": None}}  # as dense ones are


def falcon_h1(**more):
    """Factors that are powers of two, so that the peer's converter folds them into bf16 without rounding."""
    return hf.FalconH1ForCausalLM(hf.FalconH1Config(
        **SMALL, **COMMON, head_dim=16, intermediate_size=48, num_hidden_layers=2, mamba_d_ssm=64, mamba_n_heads=4,
        mamba_d_state=24, mamba_n_groups=2, mamba_chunk_size=16, rope_parameters=rope(1e4), tie_word_embeddings=False,
        embedding_multiplier=4.0, lm_head_multiplier=0.5, mlp_multipliers=[0.5, 2.0], key_multiplier=0.5,
        attention_in_multiplier=0.5, attention_out_multiplier=2.0, ssm_multipliers=[0.5, 0.25, 2.0, 0.5, 4.0],
        ssm_in_multiplier=2.0, ssm_out_multiplier=0.25, **more))


def falcon_h1_normed():
    return falcon_h1(mamba_rms_norm=True, mamba_norm_before_gate=False)


def falcon_h1_plain():
    return falcon_h1(mamba_rms_norm=True, mamba_norm_before_gate=True), {"gguf": False}  # the peer gates first


def mamba():
    return hf.MambaForCausalLM(hf.MambaConfig(
        vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, state_size=5, time_step_rank=3, tie_word_embeddings=True,
        use_mambapy=False, bos_token_id=0, eos_token_id=1, pad_token_id=None))


def falcon_mamba():
    return hf.FalconMambaForCausalLM(hf.FalconMambaConfig(
        vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, state_size=5, time_step_rank=3, tie_word_embeddings=True,
        mixer_rms_eps=1e-5, bos_token_id=0, eos_token_id=1, pad_token_id=None))


def jamba():
    return hf.JambaForCausalLM(hf.JambaConfig(
        **SMALL, **COMMON, intermediate_size=48, num_hidden_layers=3, num_experts=1, num_experts_per_tok=1,
        attn_layer_period=3, attn_layer_offset=1, mamba_d_state=5, mamba_dt_rank=3, use_mamba_kernels=False,
        tie_word_embeddings=False))


def qwen35moe():
    return hf.Qwen3_5MoeForCausalLM(hf.Qwen3_5MoeTextConfig(
        **SMALL, **COMMON, num_hidden_layers=3, head_dim=16, tie_word_embeddings=False, full_attention_interval=3,
        num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16, shared_expert_intermediate_size=24,
        linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=16, linear_value_head_dim=16,
        rope_parameters=rope(1e4, partial_rotary_factor=0.5, mrope_section=[2, 1, 1]))), {
            "offset_norms": True, "peer": {"no_mtp": True}}


def qwen3next():
    return hf.Qwen3NextForCausalLM(hf.Qwen3NextConfig(
        **SMALL, **COMMON, intermediate_size=48, num_hidden_layers=3, head_dim=16, tie_word_embeddings=False,
        layer_types=["linear_attention", "linear_attention", "full_attention"], num_experts=4, num_experts_per_tok=2,
        moe_intermediate_size=16, shared_expert_intermediate_size=24, linear_num_key_heads=2,
        linear_num_value_heads=4, linear_key_head_dim=16, linear_value_head_dim=16,
        rope_parameters=rope(1e4, partial_rotary_factor=0.5))), {"offset_norms": True, "peer": {"no_mtp": True}}


def lfm2moe():
    return hf.Lfm2MoeForCausalLM(hf.Lfm2MoeConfig(
        **SMALL, **COMMON, intermediate_size=48, moe_intermediate_size=16, num_hidden_layers=3, num_dense_layers=1,
        num_experts=6, num_experts_per_tok=2, tie_word_embeddings=True, rope_parameters=rope(1e4),
        layer_types=["conv", "full_attention", "conv"]))


def granite_hybrid_moe():
    return hf.GraniteMoeHybridForCausalLM(hf.GraniteMoeHybridConfig(
        **SMALL, **COMMON, intermediate_size=16, shared_intermediate_size=24, num_hidden_layers=2,
        num_local_experts=4, num_experts_per_tok=2, tie_word_embeddings=True, mamba_n_heads=4, mamba_d_state=24,
        mamba_n_groups=1, mamba_d_conv=4, mamba_chunk_size=16, layer_types=["mamba", "attention"])), {
            "config": {"layer_types": ["mamba", "attention"]}}


def nemotron_h_moe():
    return hf.NemotronHForCausalLM(hf.NemotronHConfig(
        **SMALL, **COMMON, head_dim=16, intermediate_size=48, tie_word_embeddings=False, mamba_num_heads=4,
        mamba_head_dim=16, ssm_state_size=24, n_groups=2, chunk_size=16, mamba_proj_bias=False, n_routed_experts=4,
        num_experts_per_tok=2, moe_intermediate_size=16, moe_shared_expert_intermediate_size=24, n_shared_experts=1,
        routed_scaling_factor=1.5, n_group=1, topk_group=1,
        layer_types=["linear_attention", "moe", "full_attention", "moe"])), {
            "config": {"num_hidden_layers": 4, "hybrid_override_pattern": "ME*E",
                       "layers_block_type": ["mamba", "moe", "attention", "moe"]}}


def jamba_moe():
    return hf.JambaForCausalLM(hf.JambaConfig(
        **SMALL, **COMMON, intermediate_size=24, num_hidden_layers=2, num_experts=4, num_experts_per_tok=2,
        expert_layer_period=2, expert_layer_offset=1, attn_layer_period=2, attn_layer_offset=1, mamba_d_state=5,
        mamba_dt_rank=3, tie_word_embeddings=False))


FAMILIES = {"lfm2": lfm2, "qwen35": qwen35, "mamba2": mamba2, "mamba2_tied": mamba2_tied,
            "granite_hybrid": granite_hybrid, "nemotron_h": nemotron_h, "falcon_h1": falcon_h1_normed,
            "falcon_h1_plain": falcon_h1_plain, "mamba": mamba, "falcon_mamba": falcon_mamba, "jamba": jamba,
            "qwen35moe": qwen35moe, "qwen3next": qwen3next, "lfm2moe": lfm2moe,
            "granite_hybrid_moe": granite_hybrid_moe, "nemotron_h_moe": nemotron_h_moe, "jamba_moe": jamba_moe}
