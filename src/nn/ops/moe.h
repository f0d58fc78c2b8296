// moe: a feed-forward layer of experts, of which each token takes a few. Thread: the device thread.
#pragma once

#include "nn/backend/backend.h"
#include "nn/backend/expert_weights.h"

namespace pippin::nn {

/// The sum over a token's experts of weight * expert(x), in the order of their scores; an expert is
/// feed_forward(), or plain_feed_forward() without a gate, of its own weights and biases. The
/// router takes f32 activations on CPUs. Shapes: [T, K] -> [T, E]. Tolerance: that of
/// feed_forward(), where no two scores are as close as rounding.
/// Source: Shazeer et al., Outrageously Large Neural Networks, 2017; for groups and selection
/// biases DeepSeek-AI, DeepSeek-V3 Technical Report, 2024.
mx::array moe(Backend& on, const MoeWeights& weights, const mx::array& x);
/// The same, where the router takes another input than the experts. Shapes: routed_by [T, K].
mx::array moe(Backend& on, const MoeWeights& weights, const mx::array& x,
              const mx::array& routed_by);

}  // namespace pippin::nn
