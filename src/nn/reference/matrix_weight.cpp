#include "nn/reference/matrix_weight.h"

#include "base/check.h"
#include "mlx/ops.h"
#include "mlx/transforms.h"

namespace pippin::nn {
namespace {

mx::array view_of(mx::array view) {
  view.eval();
  return view;
}

}  // namespace

DenseWeight::DenseWeight(mx::array of)
    : values(std::move(of)), transposed(view_of(mx::transpose(values))) {}

mx::array DenseWeight::product(const mx::array& x) const { return mx::matmul(x, transposed); }

mx::array DenseWeight::rows(const mx::array& ids, mx::Dtype dtype) const {
  return mx::astype(mx::take(values, ids, 0), dtype);
}

mx::array QuantisedWeight::product(const mx::array& x) const {
  const mx::array y = mx::quantized_matmul(x, matrix.codes, matrix.scales, matrix.biases, true,
                                           matrix.group, matrix.bits, matrix.mode);
  return mx::astype(y, x.dtype());
}

mx::array QuantisedWeight::rows(const mx::array& ids, mx::Dtype dtype) const {
  const auto taken = [&](const mx::array& of) { return mx::take(of, ids, 0); };
  // MLX computes the values of affine codes in the type of their scales.
  const auto widened = [&](const mx::array& of) { return mx::astype(taken(of), dtype); };
  if (!matrix.biases)
    return mx::dequantize(taken(matrix.codes), taken(matrix.scales), std::nullopt, matrix.group,
                          matrix.bits, matrix.mode, std::nullopt, dtype);
  return mx::dequantize(taken(matrix.codes), widened(matrix.scales), widened(*matrix.biases),
                        matrix.group, matrix.bits, matrix.mode);
}

mx::array StackedWeight::product(const mx::array& x) const {
  std::vector<mx::array> products;
  for (const std::shared_ptr<MatrixWeight>& part : parts) products.push_back(part->product(x));
  return mx::concatenate(products, -1);
}

mx::array StackedWeight::rows(const mx::array& /*ids*/, mx::Dtype /*dtype*/) const {
  CHECK(false, "a table of embeddings has one part");
}

DenseExperts::DenseExperts(const mx::array& of) : transposed(view_of(mx::swapaxes(of, 1, 2))) {}

mx::array DenseExperts::product(const mx::array& x, const mx::array& experts) const {
  return mx::squeeze(mx::gather_mm(mx::expand_dims(x, 2), transposed, std::nullopt, experts), 2);
}

mx::array QuantisedExperts::product(const mx::array& x, const mx::array& experts) const {
  const mx::array y =
      mx::gather_qmm(mx::expand_dims(x, 2), matrix.codes, matrix.scales, matrix.biases,
                     std::nullopt, experts, true, matrix.group, matrix.bits, matrix.mode);
  return mx::astype(mx::squeeze(y, 2), x.dtype());
}

mx::array StackedExperts::product(const mx::array& x, const mx::array& experts) const {
  std::vector<mx::array> products;
  for (const std::shared_ptr<ExpertMatrices>& part : parts)
    products.push_back(part->product(x, experts));
  return mx::concatenate(products, -1);
}

}  // namespace pippin::nn
