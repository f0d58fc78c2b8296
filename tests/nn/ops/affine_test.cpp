// MLX's own quantisation against the CPU's packed form of it: every number of bits and every group.
#include <gtest/gtest.h>

#include <random>

#include "mlx/ops.h"
#include "nn/backend/float_vector.h"
#include "nn/cpu/linear.h"

namespace pippin::nn {
namespace {

constexpr int kRows = 21, kColumns = 384;

mx::array random_matrix() {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(kRows * kColumns));
  for (float& v : values) v = normal(random);
  return mx::array(values.begin(), mx::Shape{kRows, kColumns}, mx::float32);
}

std::span<const std::byte> bytes_of(mx::array& a) {
  a.eval();
  return {a.data<std::byte>(), a.nbytes()};
}

// Whether packed rows are exactly `want`, on the path this machine takes.
void expect_rows(const cpu::PackedLinear::Part& part, const mx::array& want) {
  ThreadPool pool(1);
  const auto packed = cpu::PackedLinear::pack({&part, 1}, kColumns, *cpu::select_isa(), pool);
  ASSERT_TRUE(packed.ok()) << packed.error().message;
  std::vector<float> row(kColumns);
  for (int r = 0; r < kRows; ++r) {
    packed->row(r, row.data());
    for (int c = 0; c < kColumns; ++c)
      ASSERT_EQ(row[static_cast<size_t>(c)], want.data<float>()[r * kColumns + c])
          << "row " << r << " column " << c;
  }
}

TEST(Affine, PackedWeightsHaveTheValuesOfMlx) {
  constexpr std::pair<TensorType, int> kTypes[] = {
      {TensorType::kAffine2, 2}, {TensorType::kAffine3, 3}, {TensorType::kAffine4, 4},
      {TensorType::kAffine5, 5}, {TensorType::kAffine6, 6}, {TensorType::kAffine8, 8}};
  const std::pair<TensorType, mx::Dtype> floats[] = {{TensorType::kF16, mx::float16},
                                                     {TensorType::kBF16, mx::bfloat16},
                                                     {TensorType::kF32, mx::float32}};
  for (const auto& [type, bits] : kTypes) {
    for (const int group : {32, 64, 128}) {
      for (const auto& [float_type, dtype] : floats) {
        SCOPED_TRACE(testing::Message() << bits << " bits, group " << group << ", scales of type "
                                        << static_cast<int>(float_type));
        std::vector<mx::array> q = mx::quantize(mx::astype(random_matrix(), dtype), group, bits);
        mx::array want = mx::dequantize(q[0], mx::astype(q[1], mx::float32),
                                        mx::astype(q[2], mx::float32), group, bits);
        want.eval();
        const QuantisationParameters affine{.group = group,
                                            .scale_type = float_type,
                                            .scales = bytes_of(q[1]),
                                            .biases = bytes_of(q[2])};
        expect_rows({type, bytes_of(q[0]), kRows, affine}, want);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(Affine, PackedMxfp4HasTheValuesOfMlx) {
  std::vector<mx::array> q = mx::quantize(random_matrix(), 32, 4, "mxfp4");
  mx::array want =
      mx::dequantize(q[0], q[1], std::nullopt, 32, 4, "mxfp4", std::nullopt, mx::float32);
  want.eval();
  const QuantisationParameters scales{.group = 32, .scales = bytes_of(q[1])};
  expect_rows({TensorType::kMXFP4, bytes_of(q[0]), kRows, scales}, want);
}

}  // namespace
}  // namespace pippin::nn
