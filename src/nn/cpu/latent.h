// Attention over compressed keys and values (MLA) on the CPU, in the absorbed form for prompts and
// single tokens alike: each token and head sees the same operations in the same order whatever else
// is computed. Internal to nn/cpu and its backend. Thread: the device thread, over the pool.
#pragma once

#include <cstdint>
#include <span>

#include "base/thread_pool.h"
#include "nn/cpu/attention.h"
#include "nn/types/attention_row.h"

namespace pippin::nn::cpu {

struct Kernels;

/// nn::latent_attention(). R, N and V are multiples of 16, R + P too.
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
  uint16_t* cache = nullptr;  // [positions, R + P] f16
  float* out = nullptr;       // [T, H V]

  int width() const { return rank + rope.dims; }
};
void latent_attention(const Kernels& path, const LatentArgs& args, ThreadPool& pool);

constexpr int kLatentHeads = 4;  // that share one pass over the positions

/// One token's queries of up to kLatentHeads heads.
struct LatentTile {
  const LatentArgs* args = nullptr;
  const int32_t* blocks = nullptr;
  int positions = 0;         // that the token sees
  int head = 0, heads = 0;   // first, and how many
  const float* q = nullptr;  // [heads, N + P], turned
  float* wide = nullptr;     // scratch [heads, R + P]: queries in the compressed space
  float* scores = nullptr;   // scratch [heads, positions rounded up to 16]
  float* out = nullptr;      // [heads, V]
};

struct LatentKernels {
  void (*attend)(const LatentTile& tile) = nullptr;
};

}  // namespace pippin::nn::cpu
