// ReferenceBackend: several residual streams side by side.
#include "nn/types/streams.h"
#include "mlx/ops.h"
#include "nn/reference/reference_backend.h"

namespace pippin::nn {

mx::array ReferenceBackend::mix_streams(const mx::array& x, int streams, const mx::array& weights) {
  const int tokens = x.shape(0), width = x.shape(1) / streams, out = weights.shape(1) / streams;
  const mx::array wide = mx::reshape(mx::astype(x, mx::float32), {tokens, streams, width});
  const mx::array by = mx::reshape(mx::astype(weights, mx::float32), {tokens, out, streams});
  return mx::astype(mx::reshape(mx::matmul(by, wide), {tokens, out * width}), dtype_);
}

mx::array ReferenceBackend::match_magnitude(const mx::array& x, const mx::array& like) {
  const mx::array wide = mx::astype(x, mx::float32);
  const auto mean_square = [](const mx::array& of) { return mx::mean(mx::square(of), -1, true); };
  const mx::array have = mx::sqrt(mx::maximum(mean_square(wide), mx::array(kMeanSquareLeast))),
                  want = mx::sqrt(mean_square(mx::astype(like, mx::float32)));
  return mx::astype(mx::divide(mx::multiply(wide, want), have), dtype_);
}

mx::array ReferenceBackend::above_mean(const mx::array& x, float deviations) {
  const mx::array wide = mx::astype(x, mx::float32);
  const mx::array centred = mx::subtract(wide, mx::mean(wide, -1, true));
  const mx::array deviation = mx::sqrt(mx::mean(mx::square(centred), -1, true));
  const mx::array above = mx::subtract(centred, mx::multiply(deviation, mx::array(deviations)));
  return mx::astype(mx::maximum(above, mx::array(0.0f)), dtype_);
}

mx::array ReferenceBackend::scale_columns(const mx::array& x, const FloatVector& factors) {
  return mx::multiply(x, factors.array(dtype_));
}

}  // namespace pippin::nn
