// Paged attention and the small row-wise kernels on the CPU: f32 activations, KV in f16 blocks. All
// are batch-invariant. Thread: the device thread, over the pool.
#pragma once

#include <cstdint>
#include <span>

#include "base/thread_pool.h"

namespace pippin::nn::cpu {

/// One layer's KV pool. K is stored transposed so that positions lie side by side: [P, K heads, D,
/// S]; V as [P, K heads, S, D]; both f16. S is 16 for every path. Requires: head_dim is a multiple
/// of 16 and at most 1024; the loader checks it.
struct KvLayer {
  uint16_t* k = nullptr;
  uint16_t* v = nullptr;
  int kv_heads = 0;
  int head_dim = 0;
  static constexpr int kBlock = 16;  // S

  int64_t block_elements() const { return static_cast<int64_t>(kv_heads) * head_dim * kBlock; }
};

/// One sequence's part of a step. Its T tokens lie at rows [row, row + tokens) of the step's
/// activations, at positions [start, start + tokens).
struct AttentionRow {
  int row = 0;
  int tokens = 0;
  int start = 0;
  const int32_t* blocks = nullptr;  // block table, covers start + tokens positions
};

struct RopeParams {
  bool interleaved = false;  // pairs (2i, 2i+1) (GPT-J, GGUF llama) instead of (i, i + D/2) (NeoX)
  int dims = 0;              // rotated dims of a head; <= D
  const float* inv_freq =
      nullptr;  // [dims / 2]: angle = position * inv_freq[i] (f32; scaling is folded in)
};

/// Takes qkv rows [T, (H + 2 K) * D] f32 as the merged projection wrote them: optionally norms each
/// head of q and k (qk-norm; weights [D] or null), rotates q and k, writes k and v to the pool, and
/// leaves q [T, H * D] in `q_out` scaled by nothing. positions: [T]; slots: [T], block * S +
/// offset.
struct QkvArgs {
  const float* qkv;
  int64_t tokens;
  int heads;
  const int32_t* positions;
  const int32_t* slots;
  const float* q_norm;
  const float* k_norm;
  float norm_eps;
  RopeParams rope;
  float* q_out;
};
void rope_kv_write(const QkvArgs& args, const KvLayer& kv, ThreadPool& pool);

/// Causal attention of all rows over their blocks. q, out: [T, H * D] f32.
/// window > 0: a query at p sees keys in (p - window, p]. soft_cap > 0: scores = cap * tanh(scores
/// / cap). sinks: [H] logits or null.
struct AttentionArgs {
  const float* q;
  int heads;
  float scale;
  std::span<const AttentionRow> rows;
  int window;
  float soft_cap;
  const float* sinks;
  float* out;
};
void paged_attention(const AttentionArgs& args, const KvLayer& kv, ThreadPool& pool);

/// x += residual-free RMS norm: out[t] = x[t] / sqrt(mean(x[t]^2) + eps) * weight. If `add` is
/// given, x[t] += add[t] first (x is updated).
void rms_norm(float* x, const float* add, const float* weight, float eps, int64_t tokens,
              int64_t dim, float* out, ThreadPool& pool);

enum class Gate : uint8_t { kSilu, kGeluTanh };
/// out[t, f] = gate(x[t, f]) * x[t, F + f]. x: [T, 2 F], out: [T, F].
void gated_activation(const float* x, int64_t tokens, int64_t ff, Gate gate, float* out,
                      ThreadPool& pool);

}  // namespace pippin::nn::cpu
