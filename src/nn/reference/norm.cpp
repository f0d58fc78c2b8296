#include "mlx/ops.h"
#include "nn/reference/reference_backend.h"

namespace pippin::nn {

mx::array ReferenceBackend::norm(const NormWeight& weight, const mx::array& x) {
  mx::array wide = mx::astype(x, mx::float32);
  if (weight.centred) wide = mx::subtract(wide, mx::mean(wide, -1, true));
  const mx::array scale =
      mx::rsqrt(mx::add(mx::mean(mx::square(wide), -1, true), mx::array(weight.eps)));
  mx::array normed = mx::multiply(mx::multiply(wide, scale), weight.values.array());
  if (!weight.bias.empty()) normed = mx::add(normed, weight.bias.array());
  return mx::astype(normed, dtype_);
}

mx::array ReferenceBackend::add_norm(const NormWeight& weight, mx::array& x,
                                     const mx::array& delta) {
  x = mx::add(x, delta);
  return norm(weight, x);
}

mx::array ReferenceBackend::norm_columns(const NormWeight& weight, const mx::array& x, int first) {
  const int rows = x.shape(0), end = first + static_cast<int>(weight.values.size());
  const auto columns = [&](int from, int to) {
    return mx::slice(x, mx::Shape{0, from}, mx::Shape{rows, to});
  };
  return mx::concatenate(
      {columns(0, first), norm(weight, columns(first, end)), columns(end, x.shape(1))}, 1);
}

mx::array ReferenceBackend::add(const mx::array& x, const mx::array& delta) {
  return mx::add(x, delta);
}

}  // namespace pippin::nn
