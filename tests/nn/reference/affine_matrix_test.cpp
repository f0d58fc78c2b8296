// Weights that stay quantised on the reference backend: the values of their new forms, and their
// products.
#include "nn/reference/affine_matrix.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "mlx/ops.h"
#include "nn/cpu/random_weights.h"
#include "nn/expect_near.h"
#include "nn/reference/reference_backend.h"
#include "tolerance.h"

namespace pippin::nn {
namespace {

using cpu::test::FormatInfo;
using pippin::test::kEpsilonF16;
using pippin::test::kEpsilonF32;
using pippin::test::norm_of;
using pippin::test::sum_tolerance;
using test::expect_near;

constexpr int kRows = 7, kColumns = 512;

store::TensorView tensor_of(TensorType type, std::span<const std::byte> bytes, int rows) {
  store::TensorView tensor;
  tensor.type = type;
  tensor.shape = {rows, kColumns};
  tensor.bytes = bytes;
  return tensor;
}

mx::array random_rows(int rows, int columns, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(rows) * static_cast<size_t>(columns));
  for (float& value : values) value = normal(random);
  return mx::array(values.begin(), mx::Shape{rows, columns}, mx::float32);
}

mx::array all_rows(const QuantisedWeight& weight, int rows) {
  mx::array values = weight.rows(mx::arange(rows, mx::int32), mx::float32);
  values.eval();
  return values;
}

class Formats : public testing::TestWithParam<FormatInfo> {};

TEST_P(Formats, KeepTheirValues) {
  const TensorType type = GetParam().type;
  const auto bytes = cpu::test::random_weights(type, kRows, kColumns, 3);
  const store::TensorView tensor = tensor_of(type, bytes, kRows);
  std::vector<float> want(kRows * kColumns);
  store::dequantize(tensor, want);
  const auto matrix = affine_matrix(tensor, kColumns, mx::float16);
  ASSERT_TRUE(matrix.has_value());
  const mx::array got = all_rows(QuantisedWeight(*matrix), kRows);

  // Scales that are products of two numbers in the file are rounded; others are the file's.
  const bool rounded = GetParam().is_super();
  const AffineForm form = affine_form(type);
  for (size_t first = 0; first < want.size(); first += 32) {
    const std::span<const float> group(want.data() + first, 32);
    const auto [least, largest] = std::ranges::minmax(group);
    const double amax = std::max(std::abs(least), std::abs(largest));
    // Bias and scale times code are no larger than the range and the values together.
    const double terms = 2 * (largest - least) + amax;
    double tolerance = (rounded ? kEpsilonF16 : kEpsilonF32) * 2 * terms;
    if (type != TensorType::kMXFP4 && !form.follows_scales)
      tolerance += (largest - least) / ((1 << form.bits) - 1) / 2;
    for (size_t i = 0; i < 32; ++i)
      ASSERT_NEAR(got.data<float>()[first + i], group[i], tolerance) << "value " << first + i;
  }
}

TEST_P(Formats, GiveTheProductsOfTheirValues) {
  const TensorType type = GetParam().type;
  const auto bytes = cpu::test::random_weights(type, kRows, kColumns, 4);
  const store::TensorView tensor = tensor_of(type, bytes, kRows);
  const store::TensorView* const parts[] = {&tensor};
  ReferenceBackend backend(mx::float32, WeightForm::kQuantised);
  const LinearWeight weight{.rows = kRows,
                            .columns = kColumns,
                            .prepared = backend.prepare(parts, kColumns, {}).value(),
                            .bias = {}};
  const auto& quantised = dynamic_cast<const QuantisedWeight&>(*weight.prepared);
  const mx::array values = all_rows(quantised, kRows), x = random_rows(5, kColumns, 5);
  const double norms = norm_of(std::span(values.data<float>(), values.size())) *
                       norm_of(std::span(x.data<float>(), x.size()));
  expect_near(backend.linear(weight, x), mx::matmul(x, mx::transpose(values)),
              2 * sum_tolerance(kEpsilonF32, kColumns, norms));
}

INSTANTIATE_TEST_SUITE_P(All, Formats, testing::ValuesIn([] {
                           std::vector<FormatInfo> blocks;
                           std::ranges::copy_if(cpu::test::kFormats, std::back_inserter(blocks),
                                                [](const FormatInfo& f) { return !f.is_float(); });
                           return blocks;
                         }()),
                         [](const auto& format) { return format.param.name; });

TEST(AffineMatrix, ScalesThatF16CannotHoldAreF32) {
  auto bytes = cpu::test::random_weights(TensorType::kQ8_0, kRows, kColumns, 3);
  const uint16_t large = float_to_half(1000);  // whose bias is -128000
  std::memcpy(bytes.data(), &large, sizeof large);
  const store::TensorView tensor = tensor_of(TensorType::kQ8_0, bytes, kRows);
  const auto matrix = affine_matrix(tensor, kColumns, mx::float16);
  EXPECT_EQ(matrix->scales.dtype(), mx::float32);
  std::vector<float> want(kRows * kColumns);
  store::dequantize(tensor, want);
  EXPECT_EQ(all_rows(QuantisedWeight(*matrix), kRows).data<float>()[0], want[0]);
}

TEST(AffineMatrix, FloatsStayDense) {
  const auto bytes = cpu::test::random_weights(TensorType::kF16, kRows, kColumns, 3);
  EXPECT_FALSE(affine_matrix(tensor_of(TensorType::kF16, bytes, kRows), kColumns, mx::float16));
}

// As q, k and v of a Q4_K_M file are.
TEST(AffineMatrix, PartsOfSeveralFormsFollowEachOther) {
  ReferenceBackend backend(mx::float32, WeightForm::kQuantised),
      dense(mx::float32, WeightForm::kDense);
  std::vector<std::vector<std::byte>> bytes;
  std::vector<store::TensorView> tensors;
  constexpr TensorType kTypes[] = {TensorType::kQ8_0, TensorType::kQ8_0, TensorType::kF16,
                                   TensorType::kMXFP4};
  for (const TensorType type : kTypes)
    bytes.push_back(cpu::test::random_weights(type, kRows, kColumns, 6 + bytes.size()));
  for (size_t i = 0; i < bytes.size(); ++i)
    tensors.push_back(tensor_of(kTypes[i], bytes[i], kRows));
  std::vector<const store::TensorView*> parts;
  for (const store::TensorView& tensor : tensors) parts.push_back(&tensor);
  const auto weight_of = [&](Backend& on) {
    return LinearWeight{.rows = 4 * kRows,
                        .columns = kColumns,
                        .prepared = on.prepare(parts, kColumns, Stacking::kPlain).value(),
                        .bias = {}};
  };
  const LinearWeight mixed = weight_of(backend);
  EXPECT_EQ(dynamic_cast<const StackedWeight&>(*mixed.prepared).parts.size(), 3u);
  const mx::array x = random_rows(3, kColumns, 5);
  mx::array want = dense.linear(weight_of(dense), x);
  want.eval();
  const double norms = norm_of(std::span(want.data<float>(), want.size()));
  expect_near(backend.linear(mixed, x), want,
              2 * sum_tolerance(kEpsilonF32, kColumns, norms * std::sqrt(kColumns)));
}

TEST(AffineMatrix, ExpertsStayQuantised) {
  constexpr int kExperts = 3;
  ReferenceBackend backend(mx::float32, WeightForm::kQuantised),
      dense(mx::float32, WeightForm::kDense);
  for (const TensorType type : {TensorType::kQ4_0, TensorType::kMXFP4}) {
    const auto bytes = cpu::test::random_weights(type, kExperts * kRows, kColumns, 3);
    const ExpertTensors tensors[] = {[&](int expert) {
      const size_t each = bytes.size() / kExperts;
      return tensor_of(type, std::span(bytes).subspan(static_cast<size_t>(expert) * each, each),
                       kRows);
    }};
    const auto product = [&](Backend& on) {
      const auto prepared = on.prepare_experts(tensors, kExperts, kColumns, {}).value();
      const mx::array x = mx::reshape(random_rows(4, kColumns, 5), {4, 1, kColumns});
      const mx::array experts(std::initializer_list<int>{0, 1, 2, 0, 1, 1, 2, 0}, {4, 2});
      return static_cast<const ExpertMatrices&>(*prepared).product(x,
                                                                   mx::astype(experts, mx::uint32));
    };
    mx::array want = product(dense);
    want.eval();
    const double norms = norm_of(std::span(want.data<float>(), want.size()));
    expect_near(product(backend), want,
                2 * sum_tolerance(kEpsilonF32, kColumns, norms * std::sqrt(kColumns)));
  }
}

}  // namespace
}  // namespace pippin::nn
