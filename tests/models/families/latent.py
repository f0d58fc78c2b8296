"""Decoders with compressed keys and values."""

from unittest import mock

import torch
import transformers as hf

from .shapes import COMMON, rope

SMALL = dict(hidden_size=96, intermediate_size=64, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=6,
             moe_intermediate_size=32, n_routed_experts=8, num_experts_per_tok=3, n_shared_experts=1,
             first_k_dense_replace=1, kv_lora_rank=32, qk_nope_head_dim=16, qk_rope_head_dim=16, v_head_dim=32)
YARN = dict(rope_type="yarn", rope_theta=1e4, factor=4.0, original_max_position_embeddings=32, beta_fast=8.0,
            beta_slow=1.0, mscale=0.7, mscale_all_dim=0.7)


def deepseek2():
    """V2 Lite: queries are not compressed, experts are chosen among all."""
    return hf.DeepseekV2ForCausalLM(hf.DeepseekV2Config(
        **SMALL, **COMMON, q_lora_rank=None, topk_method="greedy", n_group=1, topk_group=1, norm_topk_prob=False,
        routed_scaling_factor=1.5, tie_word_embeddings=False, rope_parameters=rope(1e4)))


def deepseek3():
    return hf.DeepseekV3ForCausalLM(hf.DeepseekV3Config(
        **SMALL, **COMMON, q_lora_rank=48, n_group=4, topk_group=2, norm_topk_prob=True, routed_scaling_factor=2.5,
        tie_word_embeddings=False, rope_parameters=YARN, num_nextn_predict_layers=0, scoring_func="sigmoid"))


def smallest_margin(model, tokens):
    """Returns how far the worst position that an indexer chooses is above the best that it does not, at least."""
    margins, topk = [], torch.Tensor.topk

    def watched(scores, k, **options):
        if scores.shape[1:] == (len(tokens), len(tokens)):
            best = scores[0, k:].sort(descending=True).values  # of tokens that see more than k
            margins.append((best[:, k - 1] - best[:, k]).min().item())
        return topk(scores, k, **options)

    with mock.patch.object(torch.Tensor, "topk", watched), torch.no_grad():
        model(torch.tensor(tokens)[None].long(), use_cache=False)
    assert margins
    return min(margins)


def clear_margins(model, tokens):
    """No rounding changes what an indexer chooses."""
    margin = smallest_margin(model, tokens)
    assert margin > 0.003, margin


def deepseek32():
    return hf.DeepseekV32ForCausalLM(hf.DeepseekV32Config(
        **SMALL, **COMMON, q_lora_rank=48, n_group=4, topk_group=2, norm_topk_prob=True, routed_scaling_factor=2.5,
        tie_word_embeddings=False, rope_parameters=YARN, index_topk=8, index_n_heads=4, index_head_dim=32)), {
            "seed": 1539, "check": clear_margins, "config": {"scoring_func": "sigmoid"}}


def mistral4():
    """Queries grow with their position beyond 8 tokens."""
    sizes = {**SMALL, "first_k_dense_replace": 0}
    scaled = {**YARN, "original_max_position_embeddings": 8, "mscale": 1.0, "mscale_all_dim": 1.0,
              "llama_4_scaling_beta": 0.2}
    return hf.Mistral4ForCausalLM(hf.Mistral4Config(
        **sizes, **COMMON, q_lora_rank=48, n_group=1, topk_group=1, routed_scaling_factor=1.0,
        tie_word_embeddings=False, rope_parameters=scaled))


def glm4_flash():
    """What is compressed is small, so that the epsilon of its norms shows, which is not that of the others."""
    def adjust(model) -> None:
        for name, weight in model.named_parameters():
            if name.endswith(("q_a_proj.weight", "kv_a_proj_with_mqa.weight")):
                rank = model.config.q_lora_rank if "q_a" in name else model.config.kv_lora_rank
                weight.data[:rank] /= 256

    small = {**SMALL, "hidden_size": 32, "num_attention_heads": 3, "num_key_value_heads": 3, "intermediate_size": 48,
             "moe_intermediate_size": 16, "n_routed_experts": 4}
    del small["first_k_dense_replace"]
    return hf.Glm4MoeLiteForCausalLM(hf.Glm4MoeLiteConfig(
        **small, **COMMON, q_lora_rank=48, n_group=1, topk_group=1, norm_topk_prob=True, routed_scaling_factor=1.5,
        rms_norm_eps=1e-5, tie_word_embeddings=False, rope_parameters=rope(1e6))), {
            "adjust": adjust, "config": {"scoring_func": "sigmoid"}}


def glm5():
    """The last layer takes over what the first one's indexer chose."""
    model = hf.GlmMoeDsaForCausalLM(hf.GlmMoeDsaConfig(
        **{**SMALL, "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 4}, **COMMON, q_lora_rank=32,
        n_group=1, topk_group=1, norm_topk_prob=True, routed_scaling_factor=1.5, rms_norm_eps=1e-6,
        tie_word_embeddings=False, rope_parameters=rope(1e4), index_topk=8, index_n_heads=4, index_head_dim=32,
        indexer_types=["full", "shared"]))
    return model, {"seed": 8, "check": clear_margins, "config": {"scoring_func": "sigmoid"}}


FAMILIES = {"deepseek2": deepseek2, "deepseek3": deepseek3, "deepseek32": deepseek32, "glm4_flash": glm4_flash,
            "glm5": glm5, "mistral4": mistral4}
