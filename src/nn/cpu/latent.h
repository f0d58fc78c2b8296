// Attention over compressed keys and values (MLA) on the CPU, in the absorbed form for prompts and
// single tokens alike, and the choice of the positions that it covers: each token and head sees the
// same operations in the same order whatever else is computed. Internal to nn/cpu and its backend.
// Thread: the device thread, over the pool.
#pragma once

#include <cstdint>
#include <span>

#include "base/thread_pool.h"
#include "nn/cpu/attention.h"
#include "nn/types/attention_row.h"

namespace pippin::nn::cpu {

struct Kernels;

/// nn::latent_attention(). R, N and V are multiples of 16, R + P too. A block has the values of its
/// positions one behind the other, and may have more behind them.
struct LatentArgs {
  const float* q = nullptr;   // [T, H (N + P)]
  const float* kv = nullptr;  // [T, R + P]
  int heads = 0, rank = 0, plain = 0, value = 0;
  float scale = 0;
  RopeParams rope;
  const float* key_up = nullptr;    // [H, N, R]
  const float* value_up = nullptr;  // [H, R, V]
  const int32_t* positions = nullptr;
  const int32_t* slots = nullptr;
  std::span<const AttentionRow> rows;
  uint16_t* cache = nullptr;          // block 0: [16, R + P] f16
  int64_t block_values = 0;           // from block to block
  const int32_t* selected = nullptr;  // [T, top] of select_positions(); null: all positions
  int top = 0;
  float* out = nullptr;  // [T, H V]

  int width() const { return rank + rope.dims; }
};
void latent_attention(const Kernels& path, const LatentArgs& args, ThreadPool& pool);

/// nn::select_positions(). D is a multiple of 16; P is at most D.
struct IndexArgs {
  const float* q = nullptr;        // [T, H D]
  const float* k = nullptr;        // [T, D]
  const float* weights = nullptr;  // [T, H]
  int heads = 0, dim = 0, top = 0;
  RopeParams rope;
  const int32_t* positions = nullptr;
  const int32_t* slots = nullptr;
  std::span<const AttentionRow> rows;
  uint16_t* cache = nullptr;  // block 0: [16, D] f16
  int64_t block_values = 0;   // from block to block
};
/// Says whether a token sees more positions than `top`.
bool needs_selection(const IndexArgs& args);
/// Shapes: out [T, top], or null where needs_selection() says no: then keys are kept, no more.
void select_positions(const Kernels& path, const IndexArgs& args, ThreadPool& pool, int32_t* out);

constexpr int kLatentHeads = 4;  // that share one pass over the positions

/// One token's queries of up to kLatentHeads heads.
struct LatentTile {
  const LatentArgs* args = nullptr;
  const int32_t* blocks = nullptr;
  const int32_t* selected = nullptr;  // [positions], or null: the first ones
  int positions = 0;                  // that the token covers
  int head = 0, heads = 0;            // first, and how many
  const float* q = nullptr;           // [heads, N + P], turned
  float* wide = nullptr;              // scratch [heads, R + P]: queries in the compressed space
  float* scores = nullptr;            // scratch [heads, positions rounded up to 16]
  float* out = nullptr;               // [heads, V]
};

/// One token's scores of positions [first, end).
struct IndexTile {
  const IndexArgs* args = nullptr;
  const int32_t* blocks = nullptr;
  int first = 0, end = 0;
  const float* q = nullptr;        // [H, D], turned
  const float* weights = nullptr;  // [H]
  float* scores = nullptr;         // [end - first]
};

struct LatentKernels {
  void (*attend)(const LatentTile& tile) = nullptr;
  void (*index_scores)(const IndexTile& tile) = nullptr;
};

}  // namespace pippin::nn::cpu
