// Paged attention and the small row-wise kernels on the CPU: f32 activations, KV in blocks of f16
// or int8. All are batch-invariant. Thread: the device thread, over the pool.
#pragma once

#include <cstdint>
#include <span>

#include "base/thread_pool.h"
#include "nn/types/attention_row.h"
#include "nn/types/kv_type.h"

namespace pippin::nn::cpu {

/// One layer's KV pool: [P, K heads] head slices of K, and as many of V. A slice holds S = 16
/// positions. With int8, D is rounded up to groups of 32; dims beyond it are zero.
///   f16    K   | dim 0 of 16 positions | dim 1 of 16 positions | ..
///          V   | position 0: D dims | position 1: D dims | ..
///   int8   K   | codes: a Q8_0 tile whose rows are positions | scales: [groups, S] f16 |
///          V   | codes s8: dim 0 of positions 0, 1; dim 1 of 0, 1; .. | .. of 14, 15 | scales |
/// Requires: head_dim is a multiple of 16 and at most kHeadDimMax; the loader checks it.
struct KvLayer {
  uint8_t* k = nullptr;
  uint8_t* v = nullptr;
  int kv_heads = 0;
  int head_dim = 0;
  KvType type = KvType::kF16;
  static constexpr int kBlock = kBlockPositions;  // S
  static constexpr int kGroup = kKvGroup;

  int groups() const { return (head_dim + kGroup - 1) / kGroup; }
  int64_t code_bytes() const { return int64_t{groups()} * kGroup * kBlock; }
  /// Units: bytes of K, or of V, in one block: of one head, and of all.
  int64_t head_bytes() const { return kv_head_bytes(type, head_dim); }
  int64_t block_bytes() const { return kv_heads * head_bytes(); }
};

struct RopeParams {
  bool interleaved = false;  // pairs (2i, 2i+1) (GPT-J, GGUF llama) instead of (i, i + D/2) (NeoX)
  int dims = 0;              // rotated dims of a head; <= D
  const float* inv_freq =
      nullptr;          // [dims / 2]: angle = position * inv_freq[i] (f32; scaling is folded in)
  float magnitude = 1;  // of cosines and sines
};

/// Rows of the stacked projection, q, k and v. Heads of q and k are normed where weights are given,
/// then rotated. k and v go to the pool, q to `q_out`, not scaled yet.
/// With queries_only there are no k and v.
/// Shapes: qkv [T, (H + 2 K) * D] f32; positions [T]; slots [T], block * S + offset; norms [D] or
/// null; q_out [T, H * D].
struct QkvArgs {
  const float* qkv;
  int64_t tokens;
  int heads;
  const int32_t* positions;
  const int32_t* slots;
  const float* q_norm;
  const float* k_norm;
  float norm_eps;
  bool norm_after_rope = false;
  bool queries_only = false;
  RopeParams rope;
  float* q_out;
};
void rope_kv_write(const QkvArgs& args, const KvLayer& kv, ThreadPool& pool);

/// Causal attention of all rows over their blocks, as first_visible() has it. With a soft cap,
/// scores = cap * tanh(scores / cap). Shapes: q, out [T, H * D] f32; sinks [H] logits, or null.
struct AttentionArgs {
  const float* q;
  int heads;
  float scale;
  std::span<const AttentionRow> rows;
  int window;
  int chunk = 0;
  float soft_cap;
  const float* sinks;
  float* out;
};
void paged_attention(const AttentionArgs& args, const KvLayer& kv, ThreadPool& pool);

/// If `add` is given, x[t] += add[t]. Then out[t] = x[t] / sqrt(mean(x[t]^2) + eps) * weight.
void rms_norm(float* x, const float* add, const float* weight, float eps, int64_t tokens,
              int64_t dim, float* out, ThreadPool& pool);

}  // namespace pippin::nn::cpu
