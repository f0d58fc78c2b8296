#include "mlx/ops.h"
#include "nn/reference/reference_backend.h"

namespace pippin::nn {

mx::array ReferenceBackend::rms_norm(const NormWeight& weight, const mx::array& x) {
  const mx::array wide = mx::astype(x, mx::float32);
  const mx::array scale =
      mx::rsqrt(mx::add(mx::mean(mx::square(wide), -1, true), mx::array(weight.eps)));
  return mx::astype(mx::multiply(mx::multiply(wide, scale), weight.values.array()), dtype_);
}

mx::array ReferenceBackend::add_rms_norm(const NormWeight& weight, mx::array& x,
                                         const mx::array& delta) {
  x = mx::add(x, delta);
  return rms_norm(weight, x);
}

mx::array ReferenceBackend::norm_columns(const NormWeight& weight, const mx::array& x, int first) {
  const int rows = x.shape(0), end = first + static_cast<int>(weight.values.size());
  const auto columns = [&](int from, int to) {
    return mx::slice(x, mx::Shape{0, from}, mx::Shape{rows, to});
  };
  return mx::concatenate(
      {columns(0, first), rms_norm(weight, columns(first, end)), columns(end, x.shape(1))}, 1);
}

mx::array ReferenceBackend::add(const mx::array& x, const mx::array& delta) {
  return mx::add(x, delta);
}

}  // namespace pippin::nn
