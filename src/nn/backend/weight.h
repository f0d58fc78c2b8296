// LinearWeight, NormWeight: weights of operations, as a backend has prepared them. Owner: the
// model. Thread: the device thread.
#pragma once

#include <cstdint>
#include <memory>

#include "nn/backend/float_vector.h"

namespace pippin::nn {

/// What a backend has made of a weight. It derives its own and is handed back its own.
struct PreparedWeight {
  virtual ~PreparedWeight() = default;
};

/// How the parts of a weight lie along N: one behind the other (q, k, v), or as the gate and the up
/// projection of feed_forward(), of as many rows each.
enum class Stacking : uint8_t { kPlain, kGateUp };

/// A weight [N, K].
struct LinearWeight {
  int rows = 0;     // N
  int columns = 0;  // K
  std::shared_ptr<PreparedWeight> prepared;
  FloatVector bias;  // [N], or empty
};

struct NormWeight {
  FloatVector values;  // [E]
  float eps = 1e-6f;
  bool centred = false;  // layer norm: the mean is subtracted first
  FloatVector bias;      // [E], or empty; of a layer norm
};

}  // namespace pippin::nn
