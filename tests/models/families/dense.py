"""Dense decoders."""

import transformers as hf

from .shapes import COMMON, WIDE, rope


def mistral():
    return hf.MistralForCausalLM(hf.MistralConfig(
        **WIDE, **COMMON, head_dim=32, tie_word_embeddings=False, rope_parameters=rope(1e4), sliding_window=None))


def llama_bias():
    return hf.LlamaForCausalLM(hf.LlamaConfig(
        **WIDE, **COMMON, attention_bias=True, tie_word_embeddings=True, rope_parameters=rope(1e4)))


FAMILIES = {"mistral": mistral, "llama_bias": llama_bias}
