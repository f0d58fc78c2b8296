// FloatVector: small weights (norms, biases, rope frequencies), on the host and as an array where
// operations want one. Immutable once filled. Thread: the device thread.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "mlx/array.h"
#include "mlx/dtype.h"

namespace pippin::nn {

namespace mx = mlx::core;

class FloatVector {
 public:
  FloatVector() = default;
  FloatVector(std::vector<float> values)
      : values_(std::move(values)) {}  // NOLINT: implicit on purpose

  bool empty() const { return values_.empty(); }
  size_t size() const { return values_.size(); }
  /// Returns the values, or null if there are none.
  const float* data() const { return values_.empty() ? nullptr : values_.data(); }
  const std::vector<float>& values() const { return values_; }
  /// Returns the values as an array [n] of `dtype`, made at the first call.
  const mx::array& array(mx::Dtype dtype = mx::float32) const;

 private:
  std::vector<float> values_;
  mutable std::optional<mx::array> array_;
};

/// Returns the values as f32, on the device.
mx::array as_floats(const mx::array& a);
/// Returns the contiguous f32 values of an evaluated array; evaluates and copies where it has to.
mx::array host_ready(const mx::array& a);

}  // namespace pippin::nn
