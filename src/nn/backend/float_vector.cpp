#include "nn/backend/float_vector.h"

#include "mlx/ops.h"

namespace pippin::nn {

const mx::array& FloatVector::array(mx::Dtype dtype) const {
  if (!array_ || array_->dtype() != dtype) {
    const mx::array host(values_.begin(), mx::Shape{static_cast<int>(values_.size())}, mx::float32);
    array_ = dtype == mx::float32 ? host : mx::astype(host, dtype);
    array_->eval();
  }
  return *array_;
}

mx::array as_floats(const mx::array& a) {
  return a.dtype() == mx::float32 ? a : mx::astype(a, mx::float32);
}

mx::array host_ready(const mx::array& a) {
  mx::array b = as_floats(a);
  if (b.is_available() && b.flags().row_contiguous) return b;
  b = mx::contiguous(b);
  b.eval();
  return b;
}

}  // namespace pippin::nn
