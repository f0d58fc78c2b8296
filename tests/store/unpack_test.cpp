#include "store/unpack.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "base/check.h"
#include "store/checkpoint.h"
#include "store/safetensors.h"

namespace pippin::store {
namespace {

const std::string kFolders = std::string(PIPPIN_SOURCE_DIR) + "/tests/models/fixtures/";
constexpr const char* kModule = "model.layers.1.mlp.up_proj.";
constexpr const char* kTensor = "blk.1.ffn_up.weight";

template <typename T>
std::vector<T> raw(const SafetensorsFile& file, const std::string& kind) {
  const auto& entries = file.entries();
  const auto place = std::ranges::find(entries, kModule + kind, &SafetensorsEntry::name);
  CHECK(place != entries.end());
  std::vector<T> values(place->bytes.size() / sizeof(T));
  std::memcpy(values.data(), place->bytes.data(), place->bytes.size());
  return values;
}

struct Quantised {
  explicit Quantised(const std::string& name)
      : checkpoint(Checkpoint::open(kFolders + name).value()),
        file(SafetensorsFile::open(kFolders + name + "/model.safetensors").value()),
        tensor(*checkpoint.tensor(kTensor)) {}

  std::vector<float> values() const {
    std::vector<float> out(static_cast<size_t>(tensor.elements()));
    dequantize(unpack(tensor), out);
    return out;
  }

  Checkpoint checkpoint;
  SafetensorsFile file;
  const TensorView& tensor;
};

// The stated error of Q8_0: of rounding codes, and of rounding their scale to f16.
void expect_q8(const std::vector<float>& got, const std::vector<double>& want) {
  ASSERT_EQ(got.size(), want.size());
  double worst = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    double largest = 0;
    for (size_t j = i / 32 * 32; j < i / 32 * 32 + 32; ++j)
      largest = std::max(largest, std::abs(want[j]));
    const double error = std::abs(got[i] - want[i]);
    ASSERT_LE(error, largest / 254 + std::abs(want[i]) / 2048 + 1e-7 * largest) << i;
    worst = std::max(worst, error / largest);
  }
  EXPECT_GT(worst, 1.0 / 1000) << "it should show somewhere";
}

double e4m3(uint8_t bits) {
  const int exponent = bits >> 3 & 15, mantissa = bits & 7;
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  return bits & 0x80 ? -magnitude : magnitude;
}

TEST(Unpack, TypesAreTheNarrowestThatHoldTheValues) {
  const auto type_of = [](const std::string& name) {
    const Quantised quantised(name);
    const TensorView plain = unpack(quantised.tensor);
    EXPECT_EQ(plain.type, quantised.tensor.type) << name;
    EXPECT_EQ(plain.packed, nullptr);
    EXPECT_EQ(plain.shape, quantised.tensor.shape);
    return plain.type;
  };
  EXPECT_EQ(type_of("quantised/gptq"), TensorType::kAffine4);
  EXPECT_EQ(type_of("quantised/gptq_3bit"), TensorType::kAffine3);
  EXPECT_EQ(type_of("quantised/gptq_order"), TensorType::kQ8_0);
  EXPECT_EQ(type_of("quantised/awq"), TensorType::kAffine4);
  EXPECT_EQ(type_of("quantised/int4"), TensorType::kAffine4);
  EXPECT_EQ(type_of("quantised/int4_zeros"), TensorType::kAffine4);
  EXPECT_EQ(type_of("quantised/int8"), TensorType::kAffine8);
  EXPECT_EQ(type_of("quantised/fp8"), TensorType::kQ8_0);
  EXPECT_EQ(type_of("mlx/llama_untied_nvfp4"), TensorType::kNVFP4);
  EXPECT_EQ(type_of("mlx/llama_untied_mxfp8"), TensorType::kQ8_0);
  const auto nvfp4 = Checkpoint::open(kFolders + "mlx/llama_untied_nvfp4").value();
  EXPECT_EQ(nvfp4.tensor("blk.1.ffn_down.weight")->type, TensorType::kQ8_0) << "rows of 96";
  // Scales times 8 are exact in 16 bits; times other zeros they are not.
  EXPECT_EQ(unpack(Quantised("quantised/int4").tensor).mlx.scale_type, TensorType::kF16);
  EXPECT_EQ(unpack(Quantised("quantised/awq").tensor).mlx.scale_type, TensorType::kF32);
}

TEST(Unpack, Fp8HasTheStatedError) {
  for (const std::string name : {"quantised/fp8", "quantised/fp8_rows", "quantised/fp8_blocks"}) {
    SCOPED_TRACE(name);
    const Quantised quantised(name);
    const auto codes = raw<uint8_t>(quantised.file, "weight");
    const bool blocks = name.ends_with("blocks");
    const auto scales = raw<float>(quantised.file, blocks ? "weight_scale_inv" : "weight_scale");
    const auto columns = static_cast<size_t>(quantised.tensor.shape[1]);
    std::vector<double> want;
    for (size_t i = 0; i < codes.size(); ++i) {
      const size_t row = i / columns, column = i % columns;
      const size_t scale = blocks               ? row / 32 * (columns / 32) + column / 32
                           : scales.size() == 1 ? 0
                                                : row;
      want.push_back(e4m3(codes[i]) * static_cast<double>(scales[scale]));
    }
    expect_q8(quantised.values(), want);
  }
}

TEST(Unpack, Mxfp8HasTheStatedError) {
  const Quantised quantised("mlx/llama_untied_mxfp8");
  const auto codes = raw<uint8_t>(quantised.file, "weight");
  const auto scales = raw<uint8_t>(quantised.file, "scales");
  std::vector<double> want;
  for (size_t i = 0; i < codes.size(); ++i)
    want.push_back(std::ldexp(e4m3(codes[i]), scales[i / 32] - 127));
  expect_q8(quantised.values(), want);
}

TEST(Unpack, Int8IsExact) {
  const Quantised quantised("quantised/int8");
  const auto codes = raw<int8_t>(quantised.file, "weight");
  const auto scales = raw<uint16_t>(quantised.file, "weight_scale");
  const std::vector<float> values = quantised.values();
  const auto columns = static_cast<size_t>(quantised.tensor.shape[1]);
  for (size_t i = 0; i < codes.size(); ++i) {
    std::vector<float> scale(1);
    dequantize(TensorType::kBF16, std::as_bytes(std::span(&scales[i / columns], 1)), scale);
    ASSERT_EQ(values[i], scale[0] * static_cast<float>(codes[i])) << i;
  }
}

}  // namespace
}  // namespace pippin::store
