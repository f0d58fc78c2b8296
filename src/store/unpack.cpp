#include "store/unpack.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "base/block_codes.h"
#include "base/float_formats.h"

namespace pippin::store {
namespace {

constexpr int64_t kQ8Columns = 32;

template <typename T>
T load(std::span<const std::byte> bytes, int64_t index) {
  T value;
  std::memcpy(&value, bytes.data() + static_cast<size_t>(index) * sizeof(T), sizeof(T));
  return value;
}

// Number `index` of a little-endian stream of bits: GPTQ's codes of three bits lie in two words.
int stream_code(auto word_at, int64_t index, int bits) {
  const int64_t at = index * bits;
  uint64_t wide = word_at(at / 32);
  if (at % 32 + bits > 32) wide |= static_cast<uint64_t>(word_at(at / 32 + 1)) << 32;
  return static_cast<int>(wide >> (at % 32) & ((1u << bits) - 1));
}

// The values of E4M3 by their bits; NaN as zero, which no weight is.
constexpr std::array<float, 256> kE4M3 = [] {
  std::array<float, 256> values{};
  for (size_t bits = 0; bits < 256; ++bits) {
    const float magnitude = 2 * half_ue4m3(static_cast<uint8_t>(bits & 0x7f));
    values[bits] = bits < 128 ? magnitude : -magnitude;
  }
  return values;
}();

// The widest group of columns that affine tiles have and that does not cross the file's; 0: none.
int affine_group(int64_t group) {
  for (const int columns : {128, 64, 32})
    if (group % columns == 0) return columns;
  return 0;
}

bool is_integer(Packing packing) { return packing <= Packing::kInt8; }

/// Reads one packed weight [N, K].
class PackedReader {
 public:
  PackedReader(const TensorView& tensor, const PackedForm& form)
      : tensor_(tensor),
        form_(form),
        rows_(tensor.shape[0]),
        columns_(tensor.shape[1]),
        scales_(form.scales.size() / static_cast<size_t>(block_bytes(form.scale_type))) {
    dequantize(form.scale_type, form.scales, scales_);
  }

  /// Unsigned codes of a row.
  void read_codes(int64_t row, uint8_t* codes) const {
    const std::span<const std::byte> bytes = tensor_.bytes;
    switch (form_.packing) {
      case Packing::kGptq: {
        const auto word = [&](int64_t i) { return load<uint32_t>(bytes, i * rows_ + row); };
        for (int64_t k = 0; k < columns_; ++k)
          codes[k] = static_cast<uint8_t>(stream_code(word, k, form_.bits));
        return;
      }
      case Packing::kAwq:
        for (int64_t k = 0; k < columns_; ++k)
          codes[k] = awq_code(load<uint32_t>(bytes, k * (rows_ / 8) + row / 8), row);
        return;
      case Packing::kPackedInts: {
        const int64_t words = columns_ * form_.bits / 32;
        const auto word = [&](int64_t i) { return load<uint32_t>(bytes, row * words + i); };
        for (int64_t k = 0; k < columns_; ++k)
          codes[k] = static_cast<uint8_t>(stream_code(word, k, form_.bits));
        return;
      }
      default:
        for (int64_t k = 0; k < columns_; ++k)
          codes[k] = load<uint8_t>(bytes, row * columns_ + k) ^ uint8_t { 0x80 };
    }
  }

  int64_t groups() const { return (columns_ + form_.group - 1) / form_.group; }
  float scale(int64_t row, int64_t group) const {
    const bool by_group = form_.packing == Packing::kGptq || form_.packing == Packing::kAwq;
    return scales_[static_cast<size_t>(by_group ? group * rows_ + row
                                                : row / form_.block_rows * groups() + group)];
  }
  int zero(int64_t row, int64_t group) const {
    const int middle = 1 << (form_.bits - 1);
    if (form_.zeros.empty()) return middle;
    const int64_t width = rows_ * form_.bits / 32;
    switch (form_.packing) {
      case Packing::kAwq:
        return awq_code(load<uint32_t>(form_.zeros, group * width + row / 8), row);
      case Packing::kPackedInts:
        return stream_code(
            [&](int64_t i) { return load<uint32_t>(form_.zeros, i * groups() + group); }, row,
            form_.bits);
      case Packing::kInt8:
        return middle + load<int8_t>(form_.zeros, row / form_.block_rows * groups() + group);
      default: {
        const int zero =
            stream_code([&](int64_t i) { return load<uint32_t>(form_.zeros, group * width + i); },
                        row, form_.bits);
        return (zero + (form_.zeros_less_one ? 1 : 0)) & ((1 << form_.bits) - 1);
      }
    }
  }

  int64_t group_of(int64_t column) const {
    return form_.order.empty() ? column / form_.group : load<int32_t>(form_.order, column);
  }

  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }

 private:
  // Column 0 is in the lowest bits, then 2, 4, 6, 1, 3, 5, 7.
  static uint8_t awq_code(uint32_t word, int64_t column) {
    const int64_t place = column % 8 / 2 + column % 2 * 4;
    return static_cast<uint8_t>(word >> (4 * place) & 15);
  }

  const TensorView& tensor_;
  const PackedForm& form_;
  const int64_t rows_, columns_;
  std::vector<float> scales_;
};

TensorView owned(const TensorView& tensor, TensorType type, std::vector<std::byte> bytes,
                 size_t codes) {
  TensorView out;
  out.name = tensor.name;
  out.type = type;
  out.shape = tensor.shape;
  auto made = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
  out.bytes = std::span(*made).first(codes);
  out.made = std::move(made);
  return out;
}

// --- Affine ---

// The narrowest type that holds all numbers exactly.
TensorType exact_type(const std::vector<float>& a, const std::vector<float>& b) {
  const auto all = [&](auto holds) {
    return std::ranges::all_of(a, holds) && std::ranges::all_of(b, holds);
  };
  if (all([](float x) { return half_to_float(float_to_half(x)) == x; })) return TensorType::kF16;
  if (all([](float x) { return (float_to_bits(x) & 0xffff) == 0; })) return TensorType::kBF16;
  return TensorType::kF32;
}

std::byte* put_floats(TensorType type, const std::vector<float>& values, std::byte* out) {
  const auto size = static_cast<size_t>(block_bytes(type));
  for (const float value : values) {
    const uint32_t bits = float_to_bits(value);
    const uint16_t half =
        type == TensorType::kF16 ? float_to_half(value) : static_cast<uint16_t>(bits >> 16);
    std::memcpy(out, type == TensorType::kF32 ? static_cast<const void*>(&bits) : &half, size);
    out += size;
  }
  return out;
}

// Eight codes are whole bytes at every width.
void put_codes(const std::vector<uint8_t>& codes, int bits, std::byte* out) {
  for (size_t k = 0; k < codes.size(); k += 8, out += bits) {
    uint64_t eight = 0;
    for (size_t i = 0; i < 8; ++i)
      eight |= static_cast<uint64_t>(codes[k + i]) << (bits * static_cast<int>(i));
    std::memcpy(out, &eight, static_cast<size_t>(bits));
  }
}

// scale * (code - zero) as scale * code + bias: products of a scale and so few bits are exact in
// f32.
TensorView to_affine(const TensorView& tensor, const PackedForm& form) {
  const PackedReader reader(tensor, form);
  const int64_t group = affine_group(form.group), groups = reader.columns() / group;
  std::vector<float> scales, biases;
  for (int64_t row = 0; row < reader.rows(); ++row) {
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t theirs = g * group / form.group;
      scales.push_back(reader.scale(row, theirs));
      biases.push_back(-scales.back() * static_cast<float>(reader.zero(row, theirs)));
    }
  }
  const TensorType floats = exact_type(scales, biases);
  const auto row_bytes = static_cast<size_t>(reader.columns() / 8 * form.bits);
  const size_t code_bytes = static_cast<size_t>(reader.rows()) * row_bytes;
  const size_t float_bytes = scales.size() * static_cast<size_t>(block_bytes(floats));
  std::vector<std::byte> bytes(code_bytes + 2 * float_bytes);
  std::vector<uint8_t> codes(static_cast<size_t>(reader.columns()));
  for (int64_t row = 0; row < reader.rows(); ++row) {
    reader.read_codes(row, codes.data());
    put_codes(codes, form.bits, bytes.data() + static_cast<size_t>(row) * row_bytes);
  }
  put_floats(floats, biases, put_floats(floats, scales, bytes.data() + code_bytes));
  TensorView out = owned(tensor, *affine_type(form.bits), std::move(bytes), code_bytes);
  const auto rest = std::span(*out.made).subspan(code_bytes);
  out.mlx = {.group = static_cast<int>(group),
             .scale_type = floats,
             .scales = rest.first(float_bytes),
             .biases = rest.subspan(float_bytes)};
  return out;
}

// --- Q8_0 ---

void put_q8(const float* values, std::byte* out) {
  float largest = 0;
  for (int64_t k = 0; k < kQ8Columns; ++k) largest = std::max(largest, std::fabs(values[k]));
  const float d = largest / 127;
  const uint16_t half = float_to_half(d);
  std::memcpy(out, &half, sizeof half);
  for (int64_t k = 0; k < kQ8Columns; ++k) {
    const float code = d > 0 && std::isfinite(d) ? std::round(values[k] / d) : 0;
    out[2 + k] = static_cast<std::byte>(static_cast<int8_t>(std::clamp(code, -127.0f, 127.0f)));
  }
}

// Calls read(row, values) for each row.
TensorView to_q8(const TensorView& tensor, auto read) {
  const int64_t columns = tensor.shape.back(), rows = tensor.elements() / columns;
  const auto block = static_cast<size_t>(block_bytes(TensorType::kQ8_0));
  std::vector<std::byte> bytes(static_cast<size_t>(rows * columns / kQ8Columns) * block);
  std::vector<float> values(static_cast<size_t>(columns));
  std::byte* out = bytes.data();
  for (int64_t row = 0; row < rows; ++row) {
    read(row, values.data());
    for (int64_t k = 0; k < columns; k += kQ8Columns, out += block) put_q8(values.data() + k, out);
  }
  const size_t all = bytes.size();
  return owned(tensor, TensorType::kQ8_0, std::move(bytes), all);
}

TensorView integers_to_q8(const TensorView& tensor, const PackedForm& form) {
  const PackedReader reader(tensor, form);
  std::vector<uint8_t> codes(static_cast<size_t>(reader.columns()));
  std::vector<int> zeros(static_cast<size_t>(reader.groups()));
  return to_q8(tensor, [&](int64_t row, float* values) {
    reader.read_codes(row, codes.data());
    for (int64_t g = 0; g < reader.groups(); ++g)
      zeros[static_cast<size_t>(g)] = reader.zero(row, g);
    for (int64_t k = 0; k < reader.columns(); ++k) {
      const int64_t group = reader.group_of(k);
      const int code = codes[static_cast<size_t>(k)] - zeros[static_cast<size_t>(group)];
      values[k] = reader.scale(row, group) * static_cast<float>(code);
    }
  });
}

TensorView fp8_to_q8(const TensorView& tensor, const PackedForm& form) {
  const PackedReader reader(tensor, form);
  return to_q8(tensor, [&](int64_t row, float* values) {
    for (int64_t k = 0; k < reader.columns(); ++k)
      values[k] = kE4M3[load<uint8_t>(tensor.bytes, row * reader.columns() + k)] *
                  reader.scale(row, k / form.group);
  });
}

TensorView mxfp8_to_q8(const TensorView& tensor) {
  const int64_t columns = tensor.shape.back();
  return to_q8(tensor, [&](int64_t row, float* values) {
    for (int64_t k = 0; k < columns; ++k) {
      const int64_t at = row * columns + k;
      values[k] = std::ldexp(kE4M3[load<uint8_t>(tensor.bytes, at)],
                             load<uint8_t>(tensor.mlx.scales, at / 32) - 127);
    }
  });
}

TensorView nvfp4_to_q8(const TensorView& tensor) {
  const int64_t columns = tensor.shape.back();
  return to_q8(tensor, [&](int64_t row, float* values) {
    for (int64_t k = 0; k < columns; ++k) {
      const int64_t at = row * columns + k;
      const int code = load<uint8_t>(tensor.bytes, at / 2) >> (at % 2 * 4) & 15;
      values[k] = static_cast<float>(kE2M1Doubled[code]) *
                  half_ue4m3(load<uint8_t>(tensor.mlx.scales, at / 16));
    }
  });
}

// --- NVFP4 ---

// MLX has columns two by two in a byte, GGML j and j + 8 of a sub-block of 16.
TensorView to_nvfp4(const TensorView& tensor) {
  const int64_t blocks = tensor.elements() / 64;
  std::vector<std::byte> bytes(static_cast<size_t>(blocks) * 36);
  std::byte* out = bytes.data();
  for (int64_t sub_block = 0; sub_block < blocks * 4; ++sub_block) {
    if (sub_block % 4 == 0) {
      std::memcpy(out, tensor.mlx.scales.data() + sub_block, 4);
      out += 4;
    }
    uint64_t in = load<uint64_t>(tensor.bytes, sub_block);
    for (int j = 0; j < 8; ++j, in >>= 4)
      *out++ = static_cast<std::byte>((in & 15) | (in >> 32 & 15) << 4);
  }
  const size_t all = bytes.size();
  return owned(tensor, TensorType::kNVFP4, std::move(bytes), all);
}

}  // namespace

TensorType unpacked_type(const PackedForm& form) {
  if (!is_integer(form.packing) || !form.order.empty() || affine_group(form.group) == 0)
    return TensorType::kQ8_0;
  return *affine_type(form.bits);
}

TensorView unpack(const TensorView& tensor) {
  if (tensor.packed == nullptr) return tensor;
  const PackedForm& form = *tensor.packed;
  if (form.packing == Packing::kNvFp4)
    return tensor.type == TensorType::kNVFP4 ? to_nvfp4(tensor) : nvfp4_to_q8(tensor);
  if (form.packing == Packing::kMxFp8) return mxfp8_to_q8(tensor);
  if (form.packing == Packing::kFp8) return fp8_to_q8(tensor, form);
  if (is_affine(unpacked_type(form))) return to_affine(tensor, form);
  return integers_to_q8(tensor, form);
}

}  // namespace pippin::store
