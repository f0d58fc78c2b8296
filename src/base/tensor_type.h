// TensorType: the element formats of weights, in model files and in packed matrices. Plain values;
// thread: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string_view>

namespace pippin {

/// kQ4_0 to kQ2_0 are GGML's block formats, byte for byte. kAffine* are MLX's affine codes of that
/// many bits. MLX keeps scales apart from codes (QuantisationParameters): of kAffine* always, of
/// kMXFP4 in its own files.
/// Source: the GGUF specification and ggml-common.h's block layouts; MLX's quantize().
enum class TensorType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kIQ4_NL,
  kIQ4_XS,
  kMXFP4,
  kNVFP4,
  kIQ1_S,
  kIQ1_M,
  kIQ2_XXS,
  kIQ2_XS,
  kIQ2_S,
  kIQ3_XXS,
  kIQ3_S,
  kTQ1_0,
  kTQ2_0,
  kQ1_0,
  kQ2_0,
  kAffine2,
  kAffine3,
  kAffine4,
  kAffine5,
  kAffine6,
  kAffine8,
};

struct TensorFormat {
  TensorType type;
  std::string_view name;
  int block_elements;  // of a block in the file: 1 of floats, 32 to 256; 0: no blocks
  int block_bytes;
  int code_bits = 0;  // of a code whose scale lies apart; 0: scales never do
};

inline constexpr TensorFormat kTensorFormats[] = {
    {TensorType::kF32, "F32", 1, 4},
    {TensorType::kF16, "F16", 1, 2},
    {TensorType::kBF16, "BF16", 1, 2},
    {TensorType::kQ4_0, "Q4_0", 32, 18},
    {TensorType::kQ4_1, "Q4_1", 32, 20},
    {TensorType::kQ5_0, "Q5_0", 32, 22},
    {TensorType::kQ5_1, "Q5_1", 32, 24},
    {TensorType::kQ8_0, "Q8_0", 32, 34},
    {TensorType::kQ2_K, "Q2_K", 256, 84},
    {TensorType::kQ3_K, "Q3_K", 256, 110},
    {TensorType::kQ4_K, "Q4_K", 256, 144},
    {TensorType::kQ5_K, "Q5_K", 256, 176},
    {TensorType::kQ6_K, "Q6_K", 256, 210},
    {TensorType::kIQ4_NL, "IQ4_NL", 32, 18},
    {TensorType::kIQ4_XS, "IQ4_XS", 256, 136},
    {TensorType::kMXFP4, "MXFP4", 32, 17, 4},
    {TensorType::kNVFP4, "NVFP4", 64, 36},
    {TensorType::kIQ1_S, "IQ1_S", 256, 50},
    {TensorType::kIQ1_M, "IQ1_M", 256, 56},
    {TensorType::kIQ2_XXS, "IQ2_XXS", 256, 66},
    {TensorType::kIQ2_XS, "IQ2_XS", 256, 74},
    {TensorType::kIQ2_S, "IQ2_S", 256, 82},
    {TensorType::kIQ3_XXS, "IQ3_XXS", 256, 98},
    {TensorType::kIQ3_S, "IQ3_S", 256, 110},
    {TensorType::kTQ1_0, "TQ1_0", 256, 54},
    {TensorType::kTQ2_0, "TQ2_0", 256, 66},
    {TensorType::kQ1_0, "Q1_0", 128, 18},
    {TensorType::kQ2_0, "Q2_0", 64, 18},
    {TensorType::kAffine2, "affine 2-bit", 0, 0, 2},
    {TensorType::kAffine3, "affine 3-bit", 0, 0, 3},
    {TensorType::kAffine4, "affine 4-bit", 0, 0, 4},
    {TensorType::kAffine5, "affine 5-bit", 0, 0, 5},
    {TensorType::kAffine6, "affine 6-bit", 0, 0, 6},
    {TensorType::kAffine8, "affine 8-bit", 0, 0, 8},
};
constexpr int kTensorTypes = static_cast<int>(std::size(kTensorFormats));

constexpr const TensorFormat& tensor_format(TensorType type) {
  return kTensorFormats[static_cast<size_t>(type)];
}
static_assert([] {
  for (int i = 0; i < kTensorTypes; ++i) {
    if (static_cast<int>(kTensorFormats[i].type) != i) return false;
  }
  return true;
}());

/// Returns "Q4_K" and the like.
constexpr std::string_view type_name(TensorType type) { return tensor_format(type).name; }
/// Return the elements and the bytes of a block in the file. Requires: not is_affine(type).
constexpr int block_elements(TensorType type) { return tensor_format(type).block_elements; }
constexpr int block_bytes(TensorType type) { return tensor_format(type).block_bytes; }
/// Says whether the type is one of kAffine*, which have no blocks.
constexpr bool is_affine(TensorType type) { return tensor_format(type).block_elements == 0; }
/// Returns MLX's affine format with codes of that many bits; nothing: there is none.
constexpr std::optional<TensorType> affine_type(int bits) {
  for (const TensorFormat& format : kTensorFormats) {
    if (is_affine(format.type) && format.code_bits == bits) return format.type;
  }
  return std::nullopt;
}

/// Scales that lie apart from the codes, as MLX keeps them. A row's codes are a little-endian
/// stream of bits, the first element in the lowest; each `group` of them in a row has a scale.
/// kAffine* also have a bias: value = scale * code + bias, rounded after each step. kMXFP4 has E2M1
/// codes and E8M0 scales, without biases. Source: mx.quantize's documentation; MLX's
/// affine_dequantize.
struct QuantisationParameters {
  int group = 0;                             // 32, 64 or 128; 32 of kMXFP4; divides K
  TensorType scale_type = TensorType::kF16;  // of kAffine*: kF32, kF16, kBF16; biases too
  std::span<const std::byte> scales = {}, biases = {};  // [N, K / group]
};

}  // namespace pippin
