"""Text models of those that see: what they see with is in their files, too, and is not read."""

import transformers as hf

from .shapes import COMMON, rope

SMALL = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, intermediate_size=48)
TOKENS = dict(image_token_id=150, video_token_id=151, vision_start_token_id=152, vision_end_token_id=153)
SECTIONS = dict(mrope_section=[4, 2, 2])


def qwen2vl():
    return hf.Qwen2VLForConditionalGeneration(hf.Qwen2VLConfig(
        text_config=dict(**SMALL, **COMMON, rope_parameters=rope(1e6, **SECTIONS)), **TOKENS,
        tie_word_embeddings=True,
        vision_config=dict(depth=1, embed_dim=16, hidden_size=32, num_heads=2, mlp_ratio=2)))


def qwen25vl():
    return hf.Qwen2_5_VLForConditionalGeneration(hf.Qwen2_5_VLConfig(
        text_config=dict(**SMALL, **COMMON, rope_parameters=rope(1e6, **SECTIONS)), **TOKENS,
        tie_word_embeddings=False, vision_config=dict(depth=1, hidden_size=16, out_hidden_size=32, num_heads=2,
                                                      intermediate_size=16, fullatt_block_indexes=[0])))


VISION3 = dict(depth=1, hidden_size=16, out_hidden_size=32, num_heads=2, intermediate_size=16,
               deepstack_visual_indexes=[0], num_position_embeddings=16)


def qwen3vl():
    return hf.Qwen3VLForConditionalGeneration(hf.Qwen3VLConfig(
        text_config=dict(**SMALL, **COMMON, head_dim=32, rope_parameters=rope(5e6, mrope_section=[6, 5, 5])), **TOKENS,
        tie_word_embeddings=True, vision_config=VISION3))


def qwen3vlmoe_saved():
    """Experts as transformers 5 saves them, [E, N, K]; gate_up_proj is square."""
    return hf.Qwen3VLMoeForConditionalGeneration(hf.Qwen3VLMoeConfig(
        text_config=dict(**SMALL, **COMMON, head_dim=16, moe_intermediate_size=16, num_experts=4, num_experts_per_tok=2,
                         rope_parameters=rope(5e6, **SECTIONS)), **TOKENS,
        tie_word_embeddings=False, vision_config=VISION3)), {"gguf": False}  # the peer takes the other order


def qwen3vlmoe():
    def further(tensors: dict) -> dict:  # the hub's files keep experts [E, K, N]
        return {k: v.mT for k, v in tensors.items() if ".mlp.experts." in k}

    return qwen3vlmoe_saved()[0], {"further": further}


FAMILIES = {"qwen2vl": qwen2vl, "qwen25vl": qwen25vl, "qwen3vl": qwen3vl, "qwen3vlmoe": qwen3vlmoe,
            "qwen3vlmoe_saved": qwen3vlmoe_saved}
