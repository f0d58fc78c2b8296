// qkv_rope_kv_write and paged_attention: the only ops that see sequences. Thread: the device
// thread.
#pragma once

#include <vector>

#include "nn/kv/kv_cache.h"
#include "nn/ops/context.h"
#include "nn/ops/step_batch.h"

namespace pippin::nn {

/// One layer's attention, apart from its projections.
struct AttentionSpec {
  int heads = 0, kv_heads = 0, head_dim = 0;
  float scale = 0;             // of the scores
  int window = 0;              // > 0: a query at p sees keys in (p - window, p]
  float soft_cap = 0;          // > 0: cap * tanh(score / cap)
  FloatVector q_norm, k_norm;  // [D], or empty
  float norm_eps = 1e-6f;
  bool rope_interleaved = false;  // pairs (2i, 2i + 1) instead of (i, i + dims / 2)
  int rope_dims = 0;              // rotated dims of each head; 0 = none
  FloatVector inv_freq;           // [rope_dims / 2]
};

/// Norms heads of q and k where the spec has weights, rotates them by position, writes k and v into
/// the layer's blocks, which `batch` names for the pool that they are of. Shapes: qkv [T, (H + 2 K)
/// D] -> q [T, H D]. Source: Su et al., RoFormer, 2021.
mx::array qkv_rope_kv_write(const Context& ctx, const AttentionSpec& spec, const mx::array& qkv,
                            const StepBatch& batch, KvLayerStore& kv);
mx::array qkv_rope_kv_write_ref(const Context& ctx, const AttentionSpec& spec, const mx::array& qkv,
                                const StepBatch& batch, KvLayerStore& kv);

/// Causal attention of each row over its own blocks. With a window, entries of the row's table that
/// none of its tokens sees are not read. Shapes: q [T, H D] -> [T, H D].
/// Tolerance against the stock path: f16 rounding of K and V, about 2e-3 of the largest value; of
/// int8 KV, whose queries are int8 too, about 4e-2.
mx::array paged_attention(const Context& ctx, const AttentionSpec& spec, const mx::array& q,
                          const StepBatch& batch, KvLayerStore& kv);
mx::array paged_attention_ref(const Context& ctx, const AttentionSpec& spec, const mx::array& q,
                              const StepBatch& batch, KvLayerStore& kv);

}  // namespace pippin::nn
