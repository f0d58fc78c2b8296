// The experts of a mixture. Rows are sorted by expert, so that each chosen expert's weights are
// read once. One parallel region has all first products, one all second ones. A row's result does
// not depend on its neighbours nor on the number of threads. Thread: the device thread, over the
// pool.
#pragma once

#include <cstdint>
#include <span>

#include "nn/cpu/linear.h"

namespace pippin::nn::cpu {

/// Which experts tokens take, and what their outputs count.
struct ExpertRoutes {
  int64_t tokens = 0;
  int used = 0;
  const int32_t* experts = nullptr;  // [tokens, used]
  const float* weights = nullptr;    // [tokens, used]
};

/// Weights of all experts.
struct ExpertLayer {
  std::span<const PackedLinear> up;    // [2 F, K] interleaved, gate and up; not gated: [F, K]
  std::span<const PackedLinear> down;  // [N, F]
  const float* up_bias = nullptr;      // [experts, rows of up], or null
  const float* down_bias = nullptr;    // [experts, N], or null
  Gate gate = Gate::kSilu;
  bool gated = true;
  bool weigh_inputs = false;  // weights multiply what an expert takes, not what it gives
};

/// y[t] = sum over r, in order, of weights[t, r] * feed_forward(expert experts[t, r], x[t]). Each
/// has the bits of feed_forward(). Shapes: x [tokens, K], y [tokens, N]. The rest as linear() has
/// it.
void experts(const ExpertLayer& layer, const ExpertRoutes& routes, const float* x, float* y,
             LinearScratch& scratch, ThreadPool& pool, Activations activations = Activations::kInt8,
             const PackedLinear* next = nullptr);

}  // namespace pippin::nn::cpu
