// Attention cases that the CPU's and the GPU's tests share: two sequences over scattered blocks.
#pragma once

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "nn/backend/attention_spec.h"
#include "nn/backend/step_batch.h"
#include "nn/types/kv_type.h"

namespace pippin::nn::test {

struct AttentionCase {
  const char* name;
  int heads, kv_heads, dim, window;
  float soft_cap;
  bool interleaved, qk_norm;
  KvType type = KvType::kF16;
};

/// Returns the case as a layer states it. The norms are used where the case has them.
inline AttentionSpec attention_spec(const AttentionCase& c, std::vector<float> q_norm,
                                    std::vector<float> k_norm) {
  AttentionSpec spec{.heads = c.heads,
                     .kv_heads = c.kv_heads,
                     .head_dim = c.dim,
                     .scale = 1.0f / std::sqrt(static_cast<float>(c.dim)),
                     .window = c.window,
                     .soft_cap = c.soft_cap};
  spec.rope_interleaved = c.interleaved;
  spec.rope_dims = c.dim;
  std::vector<float> inv_freq;
  for (int i = 0; i < c.dim / 2; ++i)
    inv_freq.push_back(
        std::pow(10000.0f, -2.0f * static_cast<float>(i) / static_cast<float>(c.dim)));
  spec.inv_freq = inv_freq;
  if (c.qk_norm) {
    spec.q_norm = std::move(q_norm);
    spec.k_norm = std::move(k_norm);
  }
  return spec;
}

/// Two sequences of one step: one in prefill behind cached positions, one decoding. With a window,
/// they lie in a second group, and blocks before the window are given back.
struct Scene {
  Scene(int seen, std::vector<int32_t> first_table, std::vector<int32_t> second_table)
      : window(seen), first(std::move(first_table)), second(std::move(second_table)) {
    batch.kv.resize(seen > 0 ? 2 : 1);
  }
  Scene(const Scene&) = delete;  // rows point at the tables

  void add(std::vector<int32_t>& table, int start, int tokens) {
    for (int b = 0; window > 0 && 16 * (b + 1) <= start - window + 1; ++b)
      table[static_cast<size_t>(b)] = -1;
    const int row = static_cast<int>(batch.tokens.size());
    for (AttentionMetadata& kv : batch.kv) kv.rows.push_back({row, tokens, start, table.data()});
    for (int p = start; p < start + tokens; ++p) {
      batch.tokens.push_back(0);
      batch.positions.push_back(p);
      for (AttentionMetadata& kv : batch.kv)
        kv.slots.push_back(table[static_cast<size_t>(p / 16)] * 16 + p % 16);
    }
  }

  const int window;
  StepBatch batch;
  std::vector<int32_t> first, second;
};

}  // namespace pippin::nn::test
