"""Sizes that the tiny models share."""

VOCAB = 160

WIDE = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
COMMON = dict(vocab_size=VOCAB, max_position_embeddings=1024, bos_token_id=0, eos_token_id=1, pad_token_id=None)


def rope(theta: float, **scaling) -> dict:
    return {"rope_type": "default", "rope_theta": theta, **scaling}
