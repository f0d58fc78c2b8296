// qkv_rope_kv_write and paged_attention: the only operations that see sequences. Thread: the device
// thread.
#pragma once

#include "nn/backend/backend.h"

namespace pippin::nn {

/// Norms heads of q and k where the spec has weights, rotates them by position, writes k and v into
/// the layer's blocks, which `batch` names for the group that they are of. Shapes: qkv [T, (H + 2
/// K) D] -> q [T, H D]; with queries_only [T, H D] -> [T, H D], and nothing is written. Source: Su
/// et al., RoFormer, 2021.
mx::array qkv_rope_kv_write(Backend& on, const AttentionSpec& spec, const mx::array& qkv,
                            const StepBatch& batch, KvLayerStore& kv);

/// Causal attention of each row over its own blocks. With a window, entries of the row's table that
/// none of its tokens sees are not read. Shapes: q [T, H D] -> [T, H D].
/// Tolerance against the reference: f16 rounding of K and V, about 2e-3 of the largest value; of
/// int8 KV, whose queries are int8 too, about 4e-2.
mx::array paged_attention(Backend& on, const AttentionSpec& spec, const mx::array& q,
                          const StepBatch& batch, KvLayerStore& kv);

}  // namespace pippin::nn
