#include "mlx/ops.h"
#include "nn/reference/reference_backend.h"

namespace pippin::nn {

mx::array ReferenceBackend::linear(const LinearWeight& weight, const mx::array& x) {
  const mx::array y = matrix_of(weight).product(x);
  return weight.bias.empty() ? y : mx::add(y, weight.bias.array(dtype_));
}

mx::array ReferenceBackend::embed(const LinearWeight& table, const StepBatch& batch, float scale) {
  const mx::array ids =
      batch.token_ids
          ? *batch.token_ids
          : mx::array(batch.tokens.begin(), mx::Shape{static_cast<int>(batch.size())}, mx::int32);
  const mx::array rows = matrix_of(table).rows(ids, dtype_);
  return scale == 1.0f ? rows : mx::multiply(rows, mx::array(scale, dtype_));
}

mx::array ReferenceBackend::gather(const mx::array& x, const std::vector<int32_t>& rows) {
  return mx::take(x, mx::array(rows.begin(), mx::Shape{static_cast<int>(rows.size())}, mx::int32),
                  0);
}

mx::array ReferenceBackend::scale(const mx::array& x, float factor) {
  return mx::multiply(x, mx::array(factor, x.dtype()));
}

mx::array ReferenceBackend::scale_rows(const mx::array& x, const std::vector<float>& factors) {
  const mx::array column(factors.begin(), mx::Shape{x.shape(0), 1}, mx::float32);
  return mx::astype(mx::multiply(x, column), x.dtype());
}

mx::array ReferenceBackend::columns(const mx::array& x, int first, int count) {
  return mx::slice(x, mx::Shape{0, first}, mx::Shape{x.shape(0), first + count});
}

mx::array ReferenceBackend::soft_cap(const mx::array& x, float cap) {
  return mx::multiply(mx::tanh(mx::divide(x, mx::array(cap, x.dtype()))),
                      mx::array(cap, x.dtype()));
}

}  // namespace pippin::nn
