// ExpertWeight, MoeWeights: the weights of a mixture of experts, as a backend has prepared them.
// Owner: the model. Thread: the device thread.
#pragma once

#include <functional>
#include <memory>

#include "nn/backend/float_vector.h"
#include "nn/backend/weight.h"
#include "nn/types/gate.h"
#include "nn/types/router.h"
#include "store/tensor.h"

namespace pippin::nn {

/// Gives a tensor [N, K] of each expert. What it returns lives until the next call.
using ExpertTensors = std::function<store::TensorView(int expert)>;

/// A weight [N, K] of each expert.
struct ExpertWeight {
  int experts = 0;
  int rows = 0;     // N
  int columns = 0;  // K
  std::shared_ptr<PreparedWeight> prepared;
  FloatVector bias;  // [experts, N], or empty
};

struct MoeWeights {
  RouterSpec routing;
  LinearWeight router;         // [experts, K], with the bias of its logits
  FloatVector selection_bias;  // [experts], or empty: added to scores, but not to weights
  FloatVector expert_factors;  // [experts] of their weights, last; or empty
  Gate gate = Gate::kSilu;
  bool gated = true;
  ExpertWeight up;            // gate over up (Stacking::kGateUp) where it is gated
  ExpertWeight down;          // [E, F] each
  bool weigh_inputs = false;  // weights multiply what an expert takes, not what it gives (Llama 4)
};

}  // namespace pippin::nn
