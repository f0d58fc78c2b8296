"""Dense decoders."""

import transformers as hf

from .shapes import COMMON, WIDE, rope

NARROW = {**WIDE, "num_attention_heads": 2, "num_key_value_heads": 1}
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32, beta_fast=8.0, beta_slow=1.0)


def mistral():
    """A window in every layer."""
    return hf.MistralForCausalLM(hf.MistralConfig(
        **NARROW, **COMMON, head_dim=32, tie_word_embeddings=False, rope_parameters=rope(1e4), sliding_window=12)), {
            "gguf": False}  # the peer has no windows in llamas


def llama_bias():
    return hf.LlamaForCausalLM(hf.LlamaConfig(
        **WIDE, **COMMON, attention_bias=True, mlp_bias=True, tie_word_embeddings=True, rope_parameters=rope(1e4)))


def llama_yarn():
    return hf.LlamaForCausalLM(hf.LlamaConfig(
        **WIDE, **COMMON, tie_word_embeddings=True, rope_parameters={"rope_theta": 1e4, **YARN}))


def llama_linear():
    return hf.LlamaForCausalLM(hf.LlamaConfig(
        **WIDE, **COMMON, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="linear", factor=3.0, rope_theta=1e4)))


def ministral3():
    return hf.Ministral3ForCausalLM(hf.Ministral3Config(
        **WIDE, **COMMON, head_dim=16, tie_word_embeddings=True, sliding_window=None,
        rope_parameters={"rope_theta": 1e4, **YARN, "original_max_position_embeddings": 16,
                         "llama_4_scaling_beta": 0.4, "mscale": 1.0, "mscale_all_dim": 1.0}))


def gemma():
    return hf.GemmaForCausalLM(hf.GemmaConfig(
        **NARROW, **COMMON, head_dim=16, rope_parameters=rope(1e4))), {"offset_norms": True}


def gemma2():
    wide = {**NARROW, "num_hidden_layers": 3}
    return hf.Gemma2ForCausalLM(hf.Gemma2Config(
        **wide, **COMMON, head_dim=16, query_pre_attn_scalar=16, sliding_window=8, rope_parameters=rope(1e4),
        attn_logit_softcapping=3.0, final_logit_softcapping=4.0)), {"offset_norms": True}


def calm(model) -> None:
    """Scores are not divided by anything, so queries are short."""
    for name, weight in model.named_parameters():
        if name.endswith("self_attn.q_norm.weight"):
            weight.data *= 0.25


def gemma3n():
    return hf.Gemma3nForCausalLM(hf.Gemma3nTextConfig(
        **{**NARROW, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4}, **COMMON, head_dim=16,
        sliding_window=8, rope_parameters=dict(sliding_attention=rope(1e4), full_attention=rope(1e6)),
        layer_types=["sliding_attention", "full_attention"] * 2, num_kv_shared_layers=2, hidden_size_per_layer_input=16,
        vocab_size_per_layer_input=160, laurel_rank=16, activation_sparsity_pattern=[0.9, 0.5, 0.0, 0.0],
        final_logit_softcapping=4.0)), {"adjust": calm}


GEMMA4_ROPE = dict(sliding_attention=rope(1e4),
                   full_attention=dict(rope_type="proportional", partial_rotary_factor=0.25, rope_theta=1e6))


def gemma4(**more):
    """E2B: keys and values shared by the last layers, which are wider, and an embedding for each layer."""
    return hf.Gemma4ForCausalLM(hf.Gemma4TextConfig(
        **COMMON, head_dim=16, sliding_window=8, rope_parameters=GEMMA4_ROPE, final_logit_softcapping=4.0, **{
            **NARROW, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "global_head_dim": 32,
            "num_kv_shared_layers": 2, "hidden_size_per_layer_input": 16, "vocab_size_per_layer_input": 160,
            "use_double_wide_mlp": True, "layer_types": ["sliding_attention", "full_attention"] * 2, **more})), {
                "adjust": calm}


def gemma4_dense():
    """31B: keys are values, and fewer, in layers that see all positions."""
    return gemma4(num_kv_shared_layers=0, hidden_size_per_layer_input=0, use_double_wide_mlp=False,
                  num_hidden_layers=3, layer_types=["sliding_attention", "sliding_attention", "full_attention"],
                  attention_k_eq_v=True, num_attention_heads=4, num_key_value_heads=2, num_global_key_value_heads=1)


def phi3():
    return hf.Phi3ForCausalLM(hf.Phi3Config(
        **WIDE, **COMMON, tie_word_embeddings=False, sliding_window=None, rope_parameters=rope(1e4)))


def phi3_long():
    """Phi 4 mini: LongRoPE, part of each head rotated, a window in every layer."""
    config = hf.Phi3Config(
        **{**WIDE, "num_attention_heads": 2}, **COMMON, tie_word_embeddings=True, sliding_window=None,
        original_max_position_embeddings=64,
        rope_parameters=dict(rope_type="longrope", rope_theta=1e4, partial_rotary_factor=0.75,
                             original_max_position_embeddings=64,
                             short_factor=[1 + 0.05 * i for i in range(12)],
                             long_factor=[1 + 0.5 * i for i in range(12)]))
    return hf.Phi3ForCausalLM(config)


def phi2():
    return hf.PhiForCausalLM(hf.PhiConfig(
        **{**WIDE, "num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 256}, **COMMON,
        partial_rotary_factor=0.5,
        rope_parameters=rope(1e4, partial_rotary_factor=0.5)))


def smollm3():
    wide = {**WIDE, "num_hidden_layers": 5}
    return hf.SmolLM3ForCausalLM(hf.SmolLM3Config(
        **wide, **COMMON, tie_word_embeddings=True, rope_parameters=rope(2e6), use_sliding_window=False))


def granite_swa():
    wide = {**WIDE, "num_hidden_layers": 5}
    return hf.GraniteSWAForCausalLM(hf.GraniteSWAConfig(
        **wide, **COMMON, sliding_window=8, tie_word_embeddings=True, rope_parameters=rope(1e4),
        embedding_multiplier=3.0, attention_multiplier=0.3, residual_multiplier=0.4, logits_scaling=2.5))


def granite_swa_nope():
    """Layers without a window have no rope, the others a base of their own."""
    wide = {**WIDE, "num_hidden_layers": 3}
    return hf.GraniteSWAForCausalLM(hf.GraniteSWAConfig(
        **wide, **COMMON, sliding_window=8, tie_word_embeddings=False, rope_parameters=rope(1e4),
        embedding_multiplier=2.0, attention_multiplier=0.3, residual_multiplier=0.4, logits_scaling=1.5,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"], layer_rope_theta=[5e3, 0, 5e3])), {
            "gguf": False}  # the peer's converter does not look at the bases


def cohere():
    return hf.CohereForCausalLM(hf.CohereConfig(
        **WIDE, **COMMON, logit_scale=0.7, rope_parameters=rope(1e4)))


def cohere2():
    wide = {**WIDE, "num_hidden_layers": 4}
    return hf.Cohere2ForCausalLM(hf.Cohere2Config(
        **wide, **COMMON, logit_scale=0.7, sliding_window=8, rotary_pct=1.0, rope_parameters=rope(1e4),
        layer_types=["sliding_attention"] * 3 + ["full_attention"]))


def glm():
    return hf.GlmForCausalLM(hf.GlmConfig(
        **WIDE, **COMMON, head_dim=16, attention_bias=True, tie_word_embeddings=False,
        rms_norm_eps=1e-5,  # which the peer takes for all
        rope_parameters=rope(1e4, partial_rotary_factor=0.5)))


def glm4():
    return hf.Glm4ForCausalLM(hf.Glm4Config(
        **WIDE, **COMMON, head_dim=16, attention_bias=True, tie_word_embeddings=False,
        rope_parameters=rope(1e4, partial_rotary_factor=0.5)))


def exaone4():
    wide = {**WIDE, "num_hidden_layers": 4}
    return hf.Exaone4ForCausalLM(hf.Exaone4Config(
        **wide, **COMMON, head_dim=16, tie_word_embeddings=True, sliding_window=8, sliding_window_pattern=4,
        rope_parameters=rope(1e6))), {"gguf": False}  # the peer knows windows in 64 layers only


def exaone4_full():
    return hf.Exaone4ForCausalLM(hf.Exaone4Config(
        **WIDE, **COMMON, head_dim=16, tie_word_embeddings=True, sliding_window=None, rope_parameters=rope(1e6),
        layer_types=["full_attention"] * 2))


def seed_oss():
    return hf.SeedOssForCausalLM(hf.SeedOssConfig(
        **WIDE, **COMMON, head_dim=32, attention_bias=True, tie_word_embeddings=False, rope_parameters=rope(1e6)))


def gptneox():
    return hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(
        vocab_size=160, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=1024, rotary_pct=0.25, bos_token_id=0, eos_token_id=1)), {
            "config": {"rotary_pct": 0.25, "rotary_emb_base": 10000, "rope_parameters": None}}  # older names


def gptneox_sequential():
    return hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(
        vocab_size=160, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=1024, rotary_pct=1.0, bos_token_id=0, eos_token_id=1, use_parallel_residual=False)), {
            "config": {"rotary_pct": 1.0, "rotary_emb_base": 10000, "rope_parameters": None}}


def falcon():
    return hf.FalconForCausalLM(hf.FalconConfig(
        vocab_size=160, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, multi_query=True,
        new_decoder_architecture=False, parallel_attn=True, bias=False, alibi=False, bos_token_id=0, eos_token_id=1)), {
            "config": {"num_kv_heads": 1}}  # the peer looks at it


def falcon_wide():
    """40B: two norms, several keys."""
    return hf.FalconForCausalLM(hf.FalconConfig(
        vocab_size=160, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_kv_heads=2,
        new_decoder_architecture=True, parallel_attn=True, bias=False, alibi=False, bos_token_id=0, eos_token_id=1))


def minicpm():
    """Remote code: a llama with the factors of Granite."""
    model = hf.GraniteForCausalLM(hf.GraniteConfig(
        **WIDE, **COMMON, tie_word_embeddings=True, rope_parameters=rope(1e4), embedding_multiplier=4.0,
        residual_multiplier=1.4 / 2 ** 0.5, logits_scaling=64 / 16, attention_multiplier=16 ** -0.5))
    return model, {"config": {
        "model_type": "minicpm", "architectures": ["MiniCPMForCausalLM"], "scale_emb": 4, "scale_depth": 1.4,
        "dim_model_base": 16, "rope_theta": 1e4, "rope_parameters": None, "embedding_multiplier": None,
        "residual_multiplier": None, "logits_scaling": None, "attention_multiplier": None}}


def starcoder2():
    return hf.Starcoder2ForCausalLM(hf.Starcoder2Config(
        **WIDE, **COMMON, sliding_window=None, use_bias=True, rope_parameters=rope(1e5)))


def stablelm():
    return hf.StableLmForCausalLM(hf.StableLmConfig(
        **{**WIDE, "num_attention_heads": 2, "num_key_value_heads": 1}, **COMMON, use_qkv_bias=True,
        rope_parameters=rope(1e4, partial_rotary_factor=0.25)))


def stablelm_parallel():
    return hf.StableLmForCausalLM(hf.StableLmConfig(
        **{**WIDE, "num_attention_heads": 2, "num_key_value_heads": 2}, **COMMON, use_parallel_residual=True,
        rope_parameters=rope(1e4, partial_rotary_factor=0.25)))


def gpt2():
    return hf.GPT2LMHeadModel(hf.GPT2Config(
        vocab_size=160, n_positions=128, n_ctx=128, n_embd=64, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=1))


def olmo():
    return hf.OlmoForCausalLM(hf.OlmoConfig(**WIDE, **COMMON, rope_parameters=rope(1e4)))


def olmo3():
    wide = {**WIDE, "num_hidden_layers": 4}
    return hf.Olmo3ForCausalLM(hf.Olmo3Config(
        **wide, **COMMON, sliding_window=8, rope_parameters={"rope_theta": 5e5, **YARN}))


def hunyuan():
    return hf.HunYuanDenseV1ForCausalLM(hf.HunYuanDenseV1Config(
        **WIDE, **{**COMMON, "max_position_embeddings": 32768}, head_dim=16, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="dynamic", rope_theta=1e4, alpha=50.0, factor=1.0)))


def ernie45():
    return hf.Ernie4_5ForCausalLM(hf.Ernie4_5Config(
        **WIDE, **COMMON, head_dim=16, tie_word_embeddings=True, rope_parameters=rope(5e5)))


def arcee():
    return hf.ArceeForCausalLM(hf.ArceeConfig(**WIDE, **COMMON, rope_parameters=rope(1e4)))


def apertus():
    return hf.ApertusForCausalLM(hf.ApertusConfig(
        **{**WIDE, "hidden_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1}, **COMMON,
        tie_word_embeddings=False, rope_parameters=dict(
            rope_type="llama3", rope_theta=1e4, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
            original_max_position_embeddings=128)))


def nemotron():
    return hf.NemotronForCausalLM(hf.NemotronConfig(
        **NARROW, **COMMON, head_dim=32, partial_rotary_factor=0.5,
        rope_parameters=rope(1e4, partial_rotary_factor=0.5))), {"offset_norms": True}


FAMILIES = {function.__name__: function for function in (
    mistral, llama_bias, llama_yarn, llama_linear, ministral3, gemma, gemma2, gemma3n, gemma4, gemma4_dense, phi3,
    phi3_long, phi2, smollm3, granite_swa, granite_swa_nope, cohere, cohere2, glm, glm4, exaone4, exaone4_full,
    seed_oss, starcoder2, stablelm, stablelm_parallel, gpt2, gptneox, gptneox_sequential, falcon, falcon_wide, minicpm,
    olmo, olmo3, hunyuan, ernie45, arcee, apertus, nemotron)}
