#include "nn/reference/affine_matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/block_codes.h"
#include "base/code_stream.h"
#include "base/float_formats.h"
#include "mlx/ops.h"
#include "mlx/transforms.h"

namespace pippin::nn {
namespace {

namespace mx = mlx::core;

constexpr int kGroup = 32;

const uint8_t* bytes_of(const std::byte* p) { return reinterpret_cast<const uint8_t*>(p); }

float load_f16(const std::byte* p) {
  uint16_t half;
  std::memcpy(&half, p, sizeof half);
  return half_to_float(half);
}

struct Scale {
  float scale = 0, bias = 0;
};

// The scale of a group of 32 as the file's block has it. Requires: the type's form follows scales.
Scale scale_of(TensorType type, const std::byte* block, int group) {
  const float d = load_f16(block);
  switch (type) {
    case TensorType::kQ4_0:
      return {d, -8 * d};
    case TensorType::kQ5_0:
      return {d, -16 * d};
    case TensorType::kQ8_0:
    case TensorType::kIQ4_NL:
      return {d, -128 * d};
    case TensorType::kQ4_1:
    case TensorType::kQ5_1:
      return {d, load_f16(block + 2)};
    case TensorType::kQ4_K:
    case TensorType::kQ5_K: {
      const auto [scale, min] = packed_scale_min(bytes_of(block + 4), group);
      return {d * static_cast<float>(scale), -load_f16(block + 2) * static_cast<float>(min)};
    }
    case TensorType::kIQ4_XS: {
      uint16_t high;
      std::memcpy(&high, block + 2, sizeof high);
      const int low = std::to_integer<int>(block[4 + group / 2]) >> (group % 2 * 4) & 15;
      const float scale = d * static_cast<float>((low | (high >> (2 * group) & 3) << 4) - 32);
      return {scale, -128 * scale};
    }
    case TensorType::kTQ1_0:
    case TensorType::kTQ2_0: {
      const float last = load_f16(block + block_bytes(type) - 2);
      return {last, -last};
    }
    case TensorType::kQ1_0:
    case TensorType::kQ2_0:
      return {d, -d};
    default:
      return {};
  }
}

Scale fitted(std::span<const float> values, int bits) {
  const auto [least, largest] = std::ranges::minmax(values);
  return {(largest - least) / static_cast<float>((1 << bits) - 1), least};
}

float rounded(float value, mx::Dtype type) {
  if (type == mx::float16) return static_cast<float>(mx::float16_t(value));
  if (type == mx::bfloat16) return static_cast<float>(mx::bfloat16_t(value));
  return value;
}

mx::array floats(const std::vector<float>& values, const mx::Shape& shape, mx::Dtype type) {
  mx::array narrow = mx::astype(mx::array(values.begin(), shape, mx::float32), type);
  narrow.eval();
  return narrow;
}

AffineMatrix from_blocks(const store::TensorView& tensor, int columns, mx::Dtype scale_type) {
  const AffineForm form = affine_form(tensor.type);
  const int rows = static_cast<int>(tensor.elements() / columns);
  const int groups = columns / kGroup, words = columns * form.bits / 32;
  const auto per_block = static_cast<size_t>(block_elements(tensor.type));
  const auto block_size = static_cast<size_t>(block_bytes(tensor.type));

  std::vector<uint32_t> codes(static_cast<size_t>(rows) * static_cast<size_t>(words));
  std::vector<float> scales, biases;
  scales.reserve(static_cast<size_t>(rows) * static_cast<size_t>(groups));
  biases.reserve(scales.capacity());
  std::vector<float> values(static_cast<size_t>(columns));
  const auto code_max = static_cast<float>((1 << form.bits) - 1);
  const size_t row_bytes = values.size() / per_block * block_size;
  for (int row = 0; row < rows; ++row) {
    const auto bytes = tensor.bytes.subspan(static_cast<size_t>(row) * row_bytes, row_bytes);
    store::dequantize(tensor.type, bytes, values);
    uint32_t* const row_codes =
        codes.data() + static_cast<size_t>(row) * static_cast<size_t>(words);
    CodeStream stream(reinterpret_cast<uint8_t*>(row_codes), form.bits);
    for (size_t first = 0; first < values.size(); first += kGroup) {
      const std::span<const float> group(values.data() + first, kGroup);
      const std::byte* block = bytes.data() + first / per_block * block_size;
      Scale scale = form.follows_scales
                        ? scale_of(tensor.type, block, static_cast<int>(first % per_block / kGroup))
                        : fitted(group, form.bits);
      scale = {rounded(scale.scale, scale_type), rounded(scale.bias, scale_type)};
      scales.push_back(scale.scale);
      biases.push_back(scale.bias);
      for (const float value : group) {
        const float code =
            scale.scale == 0 ? 0 : std::nearbyint((value - scale.bias) / scale.scale);
        stream.put(static_cast<uint32_t>(std::clamp(code, 0.0f, code_max)));
      }
    }
  }
  const mx::Shape shape{rows, groups};
  return {.codes = mx::array(codes.begin(), {rows, words}, mx::uint32),
          .scales = floats(scales, shape, scale_type),
          .biases = floats(biases, shape, scale_type),
          .bits = form.bits};
}

// MXFP4's blocks of GGUF: a scale, then the low nibbles of 16 bytes and the high ones.
AffineMatrix from_mxfp4_blocks(const store::TensorView& tensor, int columns) {
  const int rows = static_cast<int>(tensor.elements() / columns);
  const size_t blocks = tensor.bytes.size() / static_cast<size_t>(block_bytes(tensor.type));
  std::vector<uint8_t> scales(blocks);
  std::vector<uint32_t> codes(blocks * 4);
  for (size_t i = 0; i < blocks; ++i) {
    const std::byte* block =
        tensor.bytes.data() + i * static_cast<size_t>(block_bytes(tensor.type));
    scales[i] = std::to_integer<uint8_t>(block[0]);
    CodeStream stream(reinterpret_cast<uint8_t*>(codes.data() + i * 4), 4);
    for (int half = 0; half < 2; ++half)
      for (int j = 1; j <= 16; ++j)
        stream.put(std::to_integer<uint32_t>(block[j]) >> (4 * half) & 15);
  }
  return {.codes = mx::array(codes.begin(), {rows, columns / 8}, mx::uint32),
          .scales = mx::array(scales.begin(), {rows, columns / kGroup}, mx::uint8),
          .biases = std::nullopt,
          .mode = "mxfp4"};
}

template <typename T>
mx::array borrowed(std::span<const std::byte> bytes, const mx::Shape& shape, mx::Dtype type) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return mx::array(values.begin(), shape, type);
}

mx::array scales_of(std::span<const std::byte> bytes, const mx::Shape& shape, TensorType type) {
  switch (type) {
    case TensorType::kF16:
      return borrowed<mx::float16_t>(bytes, shape, mx::float16);
    case TensorType::kBF16:
      return borrowed<mx::bfloat16_t>(bytes, shape, mx::bfloat16);
    default:
      return borrowed<float>(bytes, shape, mx::float32);
  }
}

AffineMatrix from_mlx(const store::TensorView& tensor, int columns) {
  const int rows = static_cast<int>(tensor.elements() / columns);
  const int bits = tensor_format(tensor.type).code_bits;
  const mx::Shape shape{rows, columns / tensor.mlx.group};
  AffineMatrix matrix{
      .codes = borrowed<uint32_t>(tensor.bytes, {rows, columns * bits / 32}, mx::uint32),
      .scales = mx::array(0.0f),
      .biases = std::nullopt,
      .group = tensor.mlx.group,
      .bits = bits};
  if (tensor.type == TensorType::kMXFP4) {
    matrix.mode = "mxfp4";
    matrix.scales = borrowed<uint8_t>(tensor.mlx.scales, shape, mx::uint8);
    return matrix;
  }
  matrix.scales = scales_of(tensor.mlx.scales, shape, tensor.mlx.scale_type);
  matrix.biases = scales_of(tensor.mlx.biases, shape, tensor.mlx.scale_type);
  return matrix;
}

bool fits_f16(const AffineMatrix& matrix) {
  const auto fits = [](const mx::array& values) {
    return mx::all(mx::isfinite(values)).item<bool>();
  };
  return fits(matrix.scales) && fits(*matrix.biases);
}

AffineMatrix joined(const std::vector<AffineMatrix>& parts, auto join) {
  AffineMatrix whole = parts.front();
  const auto all = [&](auto member) {
    std::vector<mx::array> arrays;
    for (const AffineMatrix& part : parts) arrays.push_back(member(part));
    mx::array one = join(arrays);
    one.eval();
    return one;
  };
  whole.codes = all([](const AffineMatrix& part) { return part.codes; });
  whole.scales = all([](const AffineMatrix& part) { return part.scales; });
  if (whole.biases) whole.biases = all([](const AffineMatrix& part) { return *part.biases; });
  return whole;
}

}  // namespace

bool AffineMatrix::is_like(const AffineMatrix& other) const {
  return group == other.group && bits == other.bits && mode == other.mode &&
         scales.dtype() == other.scales.dtype();
}

AffineForm affine_form(TensorType type) {
  switch (type) {
    case TensorType::kQ4_0:
    case TensorType::kQ4_1:
    case TensorType::kQ4_K:
      return {4, true};
    case TensorType::kQ5_0:
    case TensorType::kQ5_1:
    case TensorType::kQ5_K:
      return {5, true};
    case TensorType::kQ8_0:
    case TensorType::kIQ4_NL:  // whose 16 values are integers of 8 bits
    case TensorType::kIQ4_XS:
      return {8, true};
    case TensorType::kTQ1_0:
    case TensorType::kTQ2_0:
    case TensorType::kQ1_0:
    case TensorType::kQ2_0:
      return {2, true};
    case TensorType::kNVFP4:  // whose values lie far from even steps
      return {8, false};
    // Two scales in a group of 32: codes finer than the file's take up the difference.
    default:
      return {block_bytes(type) * 8 < block_elements(type) * 5 ? 6 : 8, false};
  }
}

std::optional<AffineMatrix> affine_matrix(const store::TensorView& tensor, int columns,
                                          mx::Dtype scale_type) {
  if (tensor.transposed) return std::nullopt;
  if (!tensor.has_blocks()) {
    const int group = tensor.mlx.group;  // MLX's products take these
    if (group != 32 && group != 64 && group != 128) return std::nullopt;
    return from_mlx(tensor, columns);
  }
  if (block_elements(tensor.type) == 1 || columns % block_elements(tensor.type) != 0)
    return std::nullopt;
  if (tensor.type == TensorType::kMXFP4) return from_mxfp4_blocks(tensor, columns);
  AffineMatrix matrix = from_blocks(tensor, columns, scale_type);
  if (scale_type == mx::float16 && !fits_f16(matrix))
    return from_blocks(tensor, columns, mx::float32);
  return matrix;
}

int64_t affine_bytes(const store::TensorView& tensor) {
  if (!tensor.has_blocks() || tensor.type == TensorType::kMXFP4)
    return static_cast<int64_t>(tensor.stored_bytes());
  const int64_t elements = tensor.elements();
  if (block_elements(tensor.type) == 1) return elements * 2;
  constexpr int kScaleBits = 2 * 16;  // a scale and a bias
  return elements * affine_form(tensor.type).bits / 8 + elements / kGroup * kScaleBits / 8;
}

AffineMatrix concatenated(const std::vector<AffineMatrix>& parts) {
  return joined(parts, [](const std::vector<mx::array>& all) { return mx::concatenate(all, 0); });
}

AffineMatrix stacked(const std::vector<AffineMatrix>& experts) {
  return joined(experts, [](const std::vector<mx::array>& all) { return mx::stack(all, 0); });
}

}  // namespace pippin::nn
