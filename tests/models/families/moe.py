"""Mixtures of experts."""

import torch
import transformers as hf

from .dense import gemma4
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


def granitemoe_swa():
    narrow = {**NARROW, "num_hidden_layers": 3}
    return hf.GraniteMoeSWAForCausalLM(hf.GraniteMoeSWAConfig(
        **narrow, **COMMON, intermediate_size=16, num_local_experts=8, num_experts_per_tok=3, sliding_window=8,
        tie_word_embeddings=True, rope_parameters=rope(1e4), embedding_multiplier=3.0, attention_multiplier=0.3,
        residual_multiplier=0.4, logits_scaling=2.5))


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


def glm4moe(attention_bias: bool = True):
    """A layer without experts first; groups; norms of heads; half of each head rotated."""
    return hf.Glm4MoeForCausalLM(hf.Glm4MoeConfig(
        **NARROW, **COMMON, head_dim=32, intermediate_size=48, moe_intermediate_size=16, n_routed_experts=8,
        num_experts_per_tok=2, n_shared_experts=2, routed_scaling_factor=1.7, first_k_dense_replace=1,
        n_group=4, topk_group=2, use_qk_norm=True, attention_bias=attention_bias, tie_word_embeddings=False,
        rope_parameters=rope(1e4, partial_rotary_factor=0.5))), {
            "further": predict_further, "config": {"num_nextn_predict_layers": 1}}


def glm4moe_plain():
    return hf.Glm4MoeForCausalLM(hf.Glm4MoeConfig(
        **NARROW, **COMMON, head_dim=16, intermediate_size=48, moe_intermediate_size=16, n_routed_experts=6,
        num_experts_per_tok=2, n_shared_experts=1, routed_scaling_factor=1.3, first_k_dense_replace=1,
        use_qk_norm=False, attention_bias=True, tie_word_embeddings=False,
        rope_parameters=rope(1e4, partial_rotary_factor=0.5)))


def solar():
    return hf.SolarOpenForCausalLM(hf.SolarOpenConfig(
        **NARROW, **COMMON, head_dim=16, moe_intermediate_size=16, n_routed_experts=6, num_experts_per_tok=2,
        n_shared_experts=1, routed_scaling_factor=1.5, tie_word_embeddings=False,
        rope_parameters=rope(1e6, partial_rotary_factor=1.0)))


def predict_further(tensors: dict) -> dict:
    """A layer that predicts the token after the next; it changes no answer."""
    layer = {k.replace("layers.1.", "layers.2."): v for k, v in tensors.items() if k.startswith("model.layers.1.")}
    norm, embedding = tensors["model.norm.weight"], tensors["model.embed_tokens.weight"]
    own = {"enorm.weight": norm, "hnorm.weight": norm, "shared_head.norm.weight": norm,
           "shared_head.head.weight": embedding, "embed_tokens.weight": embedding,
           "eh_proj.weight": torch.cat([tensors["model.layers.1.self_attn.k_proj.weight"]] * 2, dim=1)}
    return layer | {f"model.layers.2.{k}": v for k, v in own.items()}


def ling():
    """Remote code: what it computes is a Granite MoE with shared experts and no factors."""
    model = hf.GraniteMoeSharedForCausalLM(hf.GraniteMoeSharedConfig(
        **NARROW, **COMMON, intermediate_size=16, shared_intermediate_size=32, num_local_experts=6,
        num_experts_per_tok=2, tie_word_embeddings=False, rope_parameters=rope(1e4), attention_multiplier=16 ** -0.5))

    def further(tensors: dict) -> dict:
        more = dict.fromkeys(tensors)
        for name, value in tensors.items():
            new = name.replace("embed_tokens", "word_embeddings").replace("self_attn.o_proj", "attention.dense")
            new = new.replace("block_sparse_moe.router.layer", "mlp.gate")
            new = new.replace("shared_mlp.output_linear", "mlp.shared_experts.down_proj")
            if "shared_mlp.input_linear" in new:
                for part, rows in zip(("gate", "up"), value.chunk(2)):
                    more[new.replace("shared_mlp.input_linear", f"mlp.shared_experts.{part}_proj")] = rows
            elif "block_sparse_moe" in new:
                base = new[:new.index("block_sparse_moe")] + "mlp.experts."
                for i, expert in enumerate(value):
                    if "input_linear" in new:
                        for part, rows in zip(("gate", "up"), expert.chunk(2)):
                            more[f"{base}{i}.{part}_proj.weight"] = rows
                    else:
                        more[f"{base}{i}.down_proj.weight"] = expert
            elif "self_attn" in new:
                layer = name[:name.index("self_attn")]
                more[layer + "attention.query_key_value.weight"] = torch.cat(
                    [tensors[f"{layer}self_attn.{p}_proj.weight"] for p in "qkv"])
            else:
                more[new] = value
        return more

    return model, {"further": further, "config": {
        "model_type": "bailing_moe", "architectures": ["BailingMoeForCausalLM"], "moe_intermediate_size": 16,
        "intermediate_size": 48, "num_experts": 6, "num_shared_experts": 2, "norm_topk_prob": True,
        "first_k_dense_replace": 0, "rope_theta": 1e4, "rope_parameters": None, "num_local_experts": None,
        "shared_intermediate_size": None, "embedding_multiplier": None, "residual_multiplier": None,
        "logits_scaling": None, "attention_multiplier": None}}


def ling2():
    """Remote code: what it computes is a GLM 4.5 by other names."""
    model, _ = glm4moe(attention_bias=False)

    def further(tensors: dict) -> dict:
        more = dict.fromkeys(tensors)
        for name, value in tensors.items():
            new = name.replace("embed_tokens", "word_embeddings").replace("self_attn.o_proj", "attention.dense")
            new = new.replace("self_attn.q_norm", "attention.query_layernorm")
            new = new.replace("self_attn.k_norm", "attention.key_layernorm")
            new = new.replace("gate.e_score_correction_bias", "gate.expert_bias")
            if "self_attn" in new:
                layer = name[:name.index("self_attn")]
                more[layer + "attention.query_key_value.weight"] = torch.cat(
                    [tensors[f"{layer}self_attn.{p}_proj.weight"] for p in "qkv"])
            else:
                more[new] = value
        return more

    return model, {"further": further, "config": {
        "model_type": "bailing_moe_v2", "architectures": ["BailingMoeV2ForCausalLM"], "num_experts": 8,
        "num_shared_experts": 2, "partial_rotary_factor": 0.5, "rope_theta": 1e4, "rope_parameters": None,
        "score_function": "sigmoid", "n_routed_experts": None, "n_shared_experts": None}}


def exaonemoe():
    return hf.ExaoneMoeForCausalLM(hf.ExaoneMoeConfig(
        **{**NARROW, "num_hidden_layers": 4}, **COMMON, head_dim=16, intermediate_size=48, moe_intermediate_size=16,
        num_experts=6, num_experts_per_tok=2, num_shared_experts=1, first_k_dense_replace=1, routed_scaling_factor=2.5,
        sliding_window=8, sliding_window_pattern=4, tie_word_embeddings=False, rope_parameters=rope(1e6)))


def gptoss(inner: int = 16):
    return hf.GptOssForCausalLM(hf.GptOssConfig(
        **{**NARROW, "num_hidden_layers": 3}, **COMMON, head_dim=16, intermediate_size=inner, num_local_experts=4,
        num_experts_per_tok=2, sliding_window=8, tie_word_embeddings=False, rope_parameters=dict(
            rope_type="yarn", rope_theta=150000.0, factor=8.0, beta_fast=8.0, beta_slow=1.0, truncate=False,
            original_max_position_embeddings=128)))


MXFP4_VALUES = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])


def to_mxfp4(weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Blocks [.., K / 32, 16] of two codes a byte, the even element in the low half; exponents [.., K / 32]."""
    groups = weights.float().reshape(*weights.shape[:-1], -1, 32)
    exponents = torch.floor(torch.log2(groups.abs().amax(-1))) - 2
    scaled = groups / 2.0 ** exponents[..., None]
    codes = (scaled.abs()[..., None] - MXFP4_VALUES).abs().argmin(-1) + 8 * (scaled < 0)
    return (codes[..., 0::2] | codes[..., 1::2] << 4).to(torch.uint8), (exponents + 127).to(torch.uint8)


def of_mxfp4(blocks: torch.Tensor, exponents: torch.Tensor) -> torch.Tensor:
    codes = torch.stack([blocks & 15, blocks >> 4], dim=-1).flatten(-2).long()
    values = MXFP4_VALUES[codes & 7] * (1 - 2 * (codes >> 3)) * 2.0 ** (exponents.float()[..., None] - 127)
    return values.flatten(-2)


def gptoss_mxfp4():
    """Experts in MXFP4, as OpenAI's files have them; what transformers computes with is what the blocks hold."""
    def is_expert(name: str) -> bool:
        return name.endswith(("experts.gate_up_proj", "experts.down_proj"))

    def adjust(model) -> None:
        for name, weight in model.named_parameters():
            if is_expert(name):
                weight.data.copy_(of_mxfp4(*to_mxfp4(weight.data.mT.contiguous())).mT)

    def further(tensors: dict) -> dict:
        more = {}
        for name in filter(is_expert, tensors):
            more[name] = None
            more[name + "_blocks"], more[name + "_scales"] = to_mxfp4(tensors[name].mT.contiguous())
        return more

    return gptoss(inner=32), {"adjust": adjust, "further": further, "config": {"quantization_config": {
        "quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router",
                                                            "model.embed_tokens", "lm_head"]}}}


def llama4(**more):
    """The peer takes chunks of 8192, and so far no query grows."""
    return hf.Llama4ForCausalLM(hf.Llama4TextConfig(
        **{**NARROW, "num_hidden_layers": 4}, **COMMON, head_dim=16, intermediate_size=16, intermediate_size_mlp=48,
        num_local_experts=4, num_experts_per_tok=2, interleave_moe_layer_step=2, tie_word_embeddings=False,
        **{"rope_parameters": rope(5e5), **more}))


def llama4_chunks():
    """Chunks, and queries that grow, within the prompt; Scout's scaling of rope."""
    return llama4(attention_chunk_size=12, floor_scale=8, attn_scale=0.4, moe_layers=[0, 2], rope_parameters=dict(
        rope_type="llama3", rope_theta=1e4, factor=16.0, low_freq_factor=1.0, high_freq_factor=1.0,
        original_max_position_embeddings=128)), {"gguf": False}


def gemma4_moe():
    """26B-A4B: experts beside the dense layer."""
    return gemma4(num_kv_shared_layers=0, hidden_size_per_layer_input=0, use_double_wide_mlp=False,
                  num_hidden_layers=2, layer_types=["sliding_attention", "full_attention"], intermediate_size=48,
                  enable_moe_block=True, num_experts=4, top_k_experts=2, moe_intermediate_size=16,
                  attention_k_eq_v=True, num_global_key_value_heads=1)


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


def cohere2moe(**more):
    """A layer without experts first, rotated though it sees all positions; shared experts count as much as the rest."""
    return hf.Cohere2MoeForCausalLM(hf.Cohere2MoeConfig(
        **{**NARROW, "num_hidden_layers": 5}, **COMMON, head_dim=16, intermediate_size=16, num_experts=6,
        num_experts_per_tok=2, logit_scale=0.5, sliding_window=8, tie_word_embeddings=True,
        rope_parameters=rope(1e4), **{
            "num_shared_experts": 2, "first_k_dense_replace": 1, "prefix_dense_intermediate_size": 48,
            "expert_selection_fn": "sigmoid", **more}))


def cohere2moe_sum():
    """RMS norms, windows in layers without experts, and shared experts beside the rest."""
    return cohere2moe(expert_selection_fn="softmax", shared_expert_combination_strategy="sum", rms_norm_eps=1e-5,
                      first_k_dense_replace=2, prefix_dense_sliding_window_pattern=2), {
        "gguf": False}  # the peer takes the mean


FAMILIES = {
    "qwen3moe": qwen3moe,
    "qwen3moe_mixed": qwen3moe_mixed,
    "qwen2moe": qwen2moe,
    "mixtral": mixtral,
    "olmoe": olmoe,
    "granitemoe": granitemoe,
    "granitemoe_shared": granitemoe_shared,
    "granitemoe_swa": granitemoe_swa,
    "phimoe": phimoe,
    "phimoe_long": phimoe_long,
    "glm4moe": glm4moe,
    "glm4moe_plain": glm4moe_plain,
    "solar": solar,
    "ling": ling,
    "ling2": ling2,
    "exaonemoe": exaonemoe,
    "gptoss": gptoss,
    "gptoss_mxfp4": gptoss_mxfp4,
    "gemma4_moe": gemma4_moe,
    "llama4": llama4,
    "llama4_chunks": llama4_chunks,
    "ernie45moe": ernie45moe,
    "hunyuanmoe": hunyuanmoe,
    "minimaxm2": minimaxm2,
    "dots1": dots1,
    "cohere2moe": cohere2moe,
    "cohere2moe_sum": cohere2moe_sum,
}
