// AttentionSpec: one layer's attention, apart from its projections. Thread: the device thread.
#pragma once

#include "nn/backend/float_vector.h"

namespace pippin::nn {

struct AttentionSpec {
  bool queries_only = false;  // keys and values are another layer's
  int heads = 0, kv_heads = 0, head_dim = 0;
  float scale = 0;             // of the scores
  int window = 0;              // > 0: a query at p sees keys in (p - window, p]
  int chunk = 0;               // > 0: it sees keys in [p / chunk * chunk, p]
  float soft_cap = 0;          // > 0: cap * tanh(score / cap)
  FloatVector q_norm, k_norm;  // [D], or empty
  float norm_eps = 1e-6f;
  bool rope_interleaved = false;  // pairs (2i, 2i + 1) instead of (i, i + dims / 2)
  int rope_dims = 0;              // rotated dims of each head; 0 = none
  float rope_magnitude = 1;       // of cosines and sines (YaRN, LongRoPE)
  bool norm_after_rope = false;   // q_norm and k_norm come behind the rotation
  FloatVector sinks;              // [H] logits without a value, or empty
  FloatVector inv_freq;           // [rope_dims / 2]
};

}  // namespace pippin::nn
