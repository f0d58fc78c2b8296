// Each format that is written: what comes back is near what went in, and bytes are where readers
// expect them.
#include "store/quantise.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "store/tensor.h"

namespace pippin::store {
namespace {

constexpr size_t kElements = 4096;

std::vector<float> weights() {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0, 0.05F);
  std::vector<float> values(kElements);
  for (float& value : values) value = normal(random);
  values[5] = 0.6F;  // an outlier
  std::fill_n(values.begin() + 1024, 256, 0.0F);
  std::fill_n(values.begin() + 2048, 256, 0.25F);
  return values;
}

std::vector<float> round_trip(const Encoding& encoding, std::span<const float> values) {
  const EncodedBytes bytes = encoded_bytes(encoding, values.size());
  std::vector<std::byte> codes(bytes.values), scales(bytes.scales), biases(bytes.biases);
  encode(encoding, values, {codes, scales, biases});
  TensorView view;
  view.type = encoding.type;
  view.shape = {1, static_cast<int64_t>(values.size())};
  view.bytes = codes;
  if (encoding.group > 0) view.mlx = {encoding.group, encoding.scale_type, scales, biases};
  std::vector<float> out(values.size());
  dequantize(view, out);
  return out;
}

/// Root of the error's mean square over the values'.
double relative_error(std::span<const float> got, std::span<const float> values) {
  double error = 0, all = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    error += std::pow(double{got[i]} - values[i], 2);
    all += std::pow(double{values[i]}, 2);
  }
  return std::sqrt(error / all);
}

TEST(Quantise, ErrorsAreWithinWhatTheBitsAllow) {
  // Measured on these values, with a margin of a half.
  const std::pair<Encoding, double> kRows[] = {
      {{TensorType::kF32}, 0},
      {{TensorType::kF16}, 2e-4},
      {{TensorType::kBF16}, 1.6e-3},
      {{TensorType::kQ8_0}, 0.005},
      {{TensorType::kQ6_K}, 0.016},
      {{TensorType::kQ5_K}, 0.045},
      {{TensorType::kQ5_0}, 0.04},
      {{TensorType::kQ4_K}, 0.085},
      {{TensorType::kQ4_0}, 0.11},
      {{TensorType::kMXFP4, 32}, 0.11},
      {{TensorType::kAffine8, 64}, 0.005},
      {{TensorType::kAffine6, 64}, 0.02},
      {{TensorType::kAffine5, 64}, 0.055},
      {{TensorType::kAffine4, 64}, 0.12},
      {{TensorType::kAffine3, 32}, 0.22},
      {{TensorType::kAffine2, 32}, 0.3},
      {{TensorType::kAffine4, 128, TensorType::kBF16}, 0.14},
  };
  const std::vector<float> values = weights();
  for (const auto& [encoding, most] : kRows) {
    const double error = relative_error(round_trip(encoding, values), values);
    EXPECT_LE(error, most) << type_name(encoding.type);
    // Each bit less doubles the error, so a bound within a factor of two tells a lost bit.
    EXPECT_GE(error, most / 2.2) << type_name(encoding.type);
  }
}

TEST(Quantise, ZerosStayZero) {
  const std::vector<float> zeros(512, 0.0F);
  for (const Encoding encoding : {Encoding{TensorType::kQ4_0},
                                  {TensorType::kQ5_0},
                                  {TensorType::kQ8_0},
                                  {TensorType::kQ4_K},
                                  {TensorType::kQ5_K},
                                  {TensorType::kQ6_K},
                                  {TensorType::kMXFP4, 32},
                                  {TensorType::kAffine4, 64}}) {
    for (const float value : round_trip(encoding, zeros))
      ASSERT_LE(std::abs(value), 2e-6F) << type_name(encoding.type);
  }
}

TEST(Quantise, LargestHalvesStayFinite) {
  std::vector<float> values(512, 1.0F);
  values[3] = kHalfMax;
  values[300] = -kHalfMax;
  for (const TensorType type :
       {TensorType::kF16, TensorType::kQ4_0, TensorType::kQ5_0, TensorType::kQ8_0,
        TensorType::kQ4_K, TensorType::kQ5_K, TensorType::kQ6_K})
    for (const float value : round_trip({type}, values))
      ASSERT_TRUE(std::isfinite(value)) << type_name(type);
}

TEST(Quantise, FiveBitsAreBetterThanFour) {
  const std::vector<float> values = weights();
  const auto error = [&](TensorType type) {
    return relative_error(round_trip({type}, values), values);
  };
  EXPECT_LT(error(TensorType::kQ5_K), error(TensorType::kQ4_K) * 0.6);
  EXPECT_LT(error(TensorType::kQ6_K), error(TensorType::kQ5_K) * 0.8);
}

TEST(Quantise, AffineCodesMeetTheFurtherEdge) {
  std::vector<float> values(32);
  for (int i = 0; i < 32; ++i) values[static_cast<size_t>(i)] = static_cast<float>(i - 20) / 10;
  const std::vector<float> got = round_trip({TensorType::kAffine4, 32, TensorType::kF32}, values);
  EXPECT_EQ(got[0], -2.0F);  // the edge further from zero is exact
  EXPECT_EQ(got[20], 0.0F);  // and so is zero
}

}  // namespace
}  // namespace pippin::store
