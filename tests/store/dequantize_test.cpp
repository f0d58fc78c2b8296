#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "store/gguf.h"
#include "store/tensor.h"

namespace pippin::store {
namespace {

// Every type that has blocks.
const std::vector<TensorType> kAll = [] {
  std::vector<TensorType> types;
  for (const TensorFormat& format : kTensorFormats)
    if (!is_affine(format.type)) types.push_back(format.type);
  return types;
}();

std::vector<float> dequantized(TensorType type, std::span<const std::byte> bytes, size_t elements) {
  std::vector<float> out(elements);
  dequantize(type, bytes, out);
  return out;
}

// Bit-exact against the gguf package (make_goldens.py).
TEST(Dequantize, AgreesWithTheGoldensBitForBit) {
  auto file = GgufFile::open(PIPPIN_SOURCE_DIR "/tests/store/dequantize_goldens.gguf");
  ASSERT_TRUE(file.ok()) << file.error().message;
  for (const TensorType type : kAll) {
    if (type == TensorType::kF32) continue;
    const std::string name(type_name(type));
    SCOPED_TRACE(name);
    const TensorView* blocks = file->tensor(name + ".blocks");
    const TensorView* values = file->tensor(name + ".values");
    ASSERT_TRUE(blocks && values);
    ASSERT_EQ(blocks->type, type);
    ASSERT_EQ(blocks->shape, values->shape);
    const auto count = static_cast<size_t>(values->elements());
    const std::vector<float> actual = dequantized(type, blocks->bytes, count);
    const std::vector<float> expected = dequantized(TensorType::kF32, values->bytes, count);
    size_t wrong = 0;
    for (size_t i = 0; i < count; ++i) {
      if (std::bit_cast<uint32_t>(actual[i]) == std::bit_cast<uint32_t>(expected[i])) continue;
      if (wrong++ < 3)
        ADD_FAILURE() << "element " << i << ": " << actual[i] << ", expected " << expected[i];
    }
    EXPECT_EQ(wrong, 0u);
  }
}

TEST(Dequantize, EveryHalfIsItsFormula) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const int sign = half >> 15, exponent = half >> 10 & 31, mantissa = half & 1023;
    const float actual = dequantized(TensorType::kF16, std::as_bytes(std::span(&half, 1)), 1)[0];
    EXPECT_EQ(std::signbit(actual), sign == 1) << bits;
    if (exponent == 31) {
      EXPECT_EQ(std::isnan(actual), mantissa != 0) << bits;
      EXPECT_EQ(std::isinf(actual), mantissa == 0) << bits;
    } else {
      const double magnitude =
          exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
      EXPECT_EQ(std::fabs(static_cast<double>(actual)), magnitude) << bits;
    }
  }
}

TEST(Dequantize, AcceptsUnalignedBytes) {
  std::vector<std::byte> storage(1 + 34);
  const uint16_t one = 0x3c00;  // 1.0
  std::memcpy(storage.data() + 1, &one, sizeof one);
  storage[3] = std::byte{0xff};  // -1
  const std::vector<float> out = dequantized(TensorType::kQ8_0, std::span(storage).subspan(1), 32);
  EXPECT_EQ(out[0], -1.0f);
  EXPECT_EQ(out[1], 0.0f);
}

TEST(Dequantize, OfNothingIsNothing) {
  for (const TensorType type : kAll) dequantize(type, {}, {});
}

TEST(DequantizeDeathTest, RefusesPartsOfBlocks) {
  std::vector<std::byte> bytes(18);
  std::vector<float> out(31);
  EXPECT_DEATH(dequantize(TensorType::kQ4_0, bytes, out), "whole blocks only");
  out.resize(64);
  EXPECT_DEATH(dequantize(TensorType::kQ4_0, bytes, out), "differ in blocks");
}

TEST(TensorType, BitsPerElementAreTheFormats) {
  const auto bits = [](TensorType type) { return 8.0 * block_bytes(type) / block_elements(type); };
  EXPECT_EQ(bits(TensorType::kQ4_0), 4.5);
  EXPECT_EQ(bits(TensorType::kQ4_1), 5.0);
  EXPECT_EQ(bits(TensorType::kQ2_K), 2.625);
  EXPECT_EQ(bits(TensorType::kQ3_K), 3.4375);
  EXPECT_EQ(bits(TensorType::kQ4_K), 4.5);
  EXPECT_EQ(bits(TensorType::kQ6_K), 6.5625);
  EXPECT_EQ(bits(TensorType::kMXFP4), 4.25);
  EXPECT_EQ(bits(TensorType::kNVFP4), 4.5);
  EXPECT_EQ(bits(TensorType::kIQ1_S), 1.5625);
  EXPECT_EQ(bits(TensorType::kIQ1_M), 1.75);
  EXPECT_EQ(bits(TensorType::kIQ2_XXS), 2.0625);
  EXPECT_EQ(bits(TensorType::kIQ2_XS), 2.3125);
  EXPECT_EQ(bits(TensorType::kIQ2_S), 2.5625);
  EXPECT_EQ(bits(TensorType::kIQ3_XXS), 3.0625);
  EXPECT_EQ(bits(TensorType::kIQ3_S), 3.4375);
  EXPECT_EQ(bits(TensorType::kTQ1_0), 1.6875);
  EXPECT_EQ(bits(TensorType::kTQ2_0), 2.0625);
  EXPECT_EQ(bits(TensorType::kQ1_0), 1.125);
  EXPECT_EQ(bits(TensorType::kQ2_0), 2.25);
  EXPECT_EQ(type_name(TensorType::kIQ4_XS), "IQ4_XS");
}

}  // namespace
}  // namespace pippin::store
