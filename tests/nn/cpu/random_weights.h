// Random weights in the model file's block formats, and their values by a plain reading of each
// format, independent of the packer.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/block_codes.h"
#include "base/float_formats.h"
#include "nn/cpu/linear.h"
#include "random_floats.h"

namespace pippin::nn::cpu::test {

using pippin::test::random_floats;

struct FormatInfo {
  TensorType type;
  std::string name;
  int columns;  // of a block or of an affine group
  int bytes;    // of a block; 0: affine
  // Of an affine type:
  int bits = 0;
  TensorType floats = TensorType::kF16;  // of scales and biases

  bool is_float() const { return columns == 1; }
  bool is_super() const { return columns == 256; }
  bool is_affine() const { return bits != 0; }
};

/// The formats whose files have blocks, in the order of the enum.
inline const std::vector<FormatInfo> kFormats = [] {
  std::vector<FormatInfo> formats;
  for (const TensorFormat& f : kTensorFormats) {
    if (!is_affine(f.type))
      formats.push_back({f.type, std::string(f.name), f.block_elements, f.block_bytes});
  }
  return formats;
}();

inline const FormatInfo& info(TensorType type) { return kFormats[static_cast<size_t>(type)]; }

/// Offsets of the f16 fields of a block, which must hold sensible numbers; everything else may be
/// any byte.
inline std::vector<int> half_fields(TensorType type) {
  switch (type) {
    case TensorType::kQ4_0:
    case TensorType::kQ5_0:
    case TensorType::kQ8_0:
    case TensorType::kIQ4_NL:
    case TensorType::kIQ4_XS:
    case TensorType::kIQ1_S:
    case TensorType::kIQ2_XXS:
    case TensorType::kIQ2_XS:
    case TensorType::kIQ2_S:
    case TensorType::kIQ3_XXS:
    case TensorType::kIQ3_S:
    case TensorType::kQ1_0:
    case TensorType::kQ2_0:
      return {0};
    case TensorType::kQ4_1:
    case TensorType::kQ5_1:
    case TensorType::kQ4_K:
    case TensorType::kQ5_K:
      return {0, 2};
    case TensorType::kQ2_K:
      return {80, 82};
    case TensorType::kQ3_K:
      return {108};
    case TensorType::kQ6_K:
      return {208};
    case TensorType::kTQ1_0:
      return {52};
    case TensorType::kTQ2_0:
      return {64};
    default:
      return {};
  }
}

/// Sets the f16 fields of a block, each to what next() returns.
inline void set_halves(TensorType type, uint8_t* block, auto next) {
  for (int at : half_fields(type)) {
    const uint16_t bits = float_to_half(next());
    std::memcpy(block + at, &bits, 2);
  }
  if (type != TensorType::kIQ1_M) return;
  const uint16_t bits = float_to_half(next());  // over the upper halves of four bytes
  for (int i = 0; i < 4; ++i) {
    uint8_t& byte = block[49 + 2 * i];
    byte = static_cast<uint8_t>((byte & 15) | (bits >> (4 * i) & 15) << 4);
  }
}

inline std::vector<std::byte> random_weights(TensorType type, int64_t rows, int64_t columns,
                                             uint32_t seed) {
  const FormatInfo& f = info(type);
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<std::byte> out(static_cast<size_t>(rows * (columns / f.columns) * f.bytes));
  const int64_t blocks = rows * (columns / f.columns);
  for (int64_t b = 0; b < blocks; ++b) {
    auto* block = reinterpret_cast<uint8_t*>(out.data()) + b * f.bytes;
    if (type == TensorType::kF32) {
      const float v = uniform(random);
      std::memcpy(block, &v, 4);
      continue;
    }
    if (type == TensorType::kF16 || type == TensorType::kBF16) {
      const float v = uniform(random);
      const uint16_t bits = type == TensorType::kF16
                                ? float_to_half(v)
                                : static_cast<uint16_t>(float_to_bits(v) >> 16);
      std::memcpy(block, &bits, 2);
      continue;
    }
    for (int i = 0; i < f.bytes; ++i) block[i] = static_cast<uint8_t>(random());
    if (type == TensorType::kMXFP4) block[0] = static_cast<uint8_t>(120 + random() % 8);
    for (int i = 0; type == TensorType::kNVFP4 && i < 4; ++i)
      block[i] = static_cast<uint8_t>(0x20 + random() % 24);
    set_halves(type, block, [&] { return 0.02f * uniform(random); });
  }
  return out;
}

inline float half_at(const uint8_t* p, int at) {
  uint16_t half;
  std::memcpy(&half, p + at, 2);
  return half_to_float(half);
}

inline constexpr int kNlValues[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};
inline constexpr int kFp4Values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

inline int nibble(const uint8_t* q, int j) { return j < 16 ? q[j] & 15 : q[j - 16] >> 4; }
inline int fifth_bit(const uint8_t* h, int j) { return (h[j / 8] >> (j % 8) & 1) * 16; }

/// Value k of a block of a grid or ternary format. Its codes are checked where they are read
/// (tests/store, against the gguf package).
inline float looked_up_value(TensorType type, const uint8_t* p, int k) {
  if (is_ternary(type)) {
    TernaryBlock block;
    read_ternary_block(type, p, block);
    return half_to_float(block.d) * static_cast<float>(block.code[k] - 1);
  }
  GridBlock block;
  read_grid_block(type, p, block);
  return half_to_float(block.d) * static_cast<float>(block.scale[k / 16]) *
         static_cast<float>(grid_values(type)[block.code[k]]) * grid_step(type);
}

/// Value j of a block of NVFP4.
inline float nvfp4_value(const uint8_t* p, int j) {
  const int s = j / 16, exponent = p[s] >> 3 & 15, mantissa = p[s] & 7;
  const float scale = p[s] == 0x7f ? 0.0f
                      : exponent == 0
                          ? std::ldexp(static_cast<float>(mantissa), -10)
                          : std::ldexp(1 + static_cast<float>(mantissa) / 8, exponent - 8);
  const uint8_t both = p[4 + 8 * s + j % 8];
  return scale * static_cast<float>(kFp4Values[j % 16 < 8 ? both & 15 : both >> 4]);
}

/// Value j of a block of 32 (or of one float), by the definition of its format.
inline float small_block_value(TensorType type, const uint8_t* p, int j) {
  const auto scaled = [&](int code) { return half_at(p, 0) * static_cast<float>(code); };
  switch (type) {
    case TensorType::kF32: {
      float value;
      std::memcpy(&value, p, 4);
      return value;
    }
    case TensorType::kF16:
      return half_at(p, 0);
    case TensorType::kBF16:
      return bfloat16_to_float(static_cast<uint16_t>(p[0] | p[1] << 8));
    case TensorType::kQ4_0:
      return scaled(nibble(p + 2, j) - 8);
    case TensorType::kQ4_1:
      return scaled(nibble(p + 4, j)) + half_at(p, 2);
    case TensorType::kQ5_0:
      return scaled(nibble(p + 6, j) + fifth_bit(p + 2, j) - 16);
    case TensorType::kQ5_1:
      return scaled(nibble(p + 8, j) + fifth_bit(p + 4, j)) + half_at(p, 2);
    case TensorType::kQ8_0:
      return scaled(static_cast<int8_t>(p[2 + j]));
    case TensorType::kIQ4_NL:
      return scaled(kNlValues[nibble(p + 2, j)]);
    case TensorType::kMXFP4:
      return std::ldexp(1.0f, p[0] - 128) * static_cast<float>(kFp4Values[nibble(p + 1, j)]);
    default:
      return 0;
  }
}

/// Value k of a Q4_K or Q5_K block.
inline float super32_value(TensorType type, const uint8_t* p, int k) {
  const int l = k % 32;
  const int g = k / 32;
  const uint8_t* q = p + 4;
  const int scale = g < 4 ? q[g] & 63 : (q[g + 4] & 15) | (q[g - 4] >> 6) << 4;
  const int minimum = g < 4 ? q[g + 4] & 63 : (q[g + 4] >> 4) | (q[g] >> 6) << 4;
  const uint8_t* low = p + (type == TensorType::kQ4_K ? 16 : 48) + 32 * (g / 2);
  int code = g % 2 == 0 ? low[l] & 15 : low[l] >> 4;
  if (type == TensorType::kQ5_K) code += (p[16 + l] >> g & 1) * 16;
  return half_at(p, 0) * static_cast<float>(scale) * static_cast<float>(code) -
         half_at(p, 2) * static_cast<float>(minimum);
}

/// Value k of a block of 256, by the definition of its format.
inline float large_block_value(TensorType type, const uint8_t* p, int k) {
  const int n = k / 128;
  const int j = k % 128 / 32;
  const int l = k % 32;
  const int g = k / 32;
  const auto scaled = [&](int at, int scale, int code) {
    return half_at(p, at) * static_cast<float>(scale) * static_cast<float>(code);
  };
  switch (type) {
    case TensorType::kQ2_K: {
      const int both = p[k / 16];
      const int code = p[16 + 32 * n + l] >> (2 * j) & 3;
      return scaled(80, both & 15, code) - half_at(p, 82) * static_cast<float>(both >> 4);
    }
    case TensorType::kQ3_K: {
      const int i = k / 16;
      const int low = i < 8 ? p[96 + i] & 15 : p[96 + i - 8] >> 4;
      const int scale = (low | (p[104 + i % 4] >> (2 * (i / 4)) & 3) << 4) - 32;
      return scaled(108, scale, (p[32 + 32 * n + l] >> (2 * j) & 3) - ((p[l] >> g & 1) ? 0 : 4));
    }
    case TensorType::kQ4_K:
    case TensorType::kQ5_K:
      return super32_value(type, p, k);
    case TensorType::kQ6_K: {
      const uint8_t low = p[64 * n + l + 32 * (j % 2)];
      const int high = p[128 + 32 * n + l] >> (2 * j) & 3;
      return scaled(208, static_cast<int8_t>(p[192 + k / 16]),
                    ((j < 2 ? low & 15 : low >> 4) | high << 4) - 32);
    }
    case TensorType::kIQ4_XS: {
      const int high = (p[2] | p[3] << 8) >> (2 * g) & 3;
      const int scale = ((p[4 + g / 2] >> (4 * (g % 2)) & 15) | high << 4) - 32;
      return scaled(0, scale, kNlValues[nibble(p + 8 + 16 * g, l)]);
    }
    default:
      return 0;
  }
}

/// All values [rows, columns].
inline std::vector<float> weight_values(TensorType type, const std::vector<std::byte>& bytes) {
  const FormatInfo& f = info(type);
  const size_t blocks = bytes.size() / static_cast<size_t>(f.bytes);
  std::vector<float> out(blocks * static_cast<size_t>(f.columns));
  for (size_t i = 0; i < out.size(); ++i) {
    const size_t block = i / static_cast<size_t>(f.columns);
    const int inside = static_cast<int>(i % static_cast<size_t>(f.columns));
    const auto* p =
        reinterpret_cast<const uint8_t*>(bytes.data()) + block * static_cast<size_t>(f.bytes);
    out[i] = is_grid(type) || is_ternary(type) ? looked_up_value(type, p, inside)
             : type == TensorType::kNVFP4      ? nvfp4_value(p, inside)
             : f.columns == 256                ? large_block_value(type, p, inside)
                                               : small_block_value(type, p, inside);
  }
  return out;
}

/// MLX's affine types: every number of bits with every group, and with `every_float` every type of
/// scales too, which else take turns.
inline std::vector<FormatInfo> affine_formats(bool every_float) {
  using enum TensorType;
  constexpr std::pair<TensorType, int> kTypes[] = {{kAffine2, 2}, {kAffine3, 3}, {kAffine4, 4},
                                                   {kAffine5, 5}, {kAffine6, 6}, {kAffine8, 8}};
  constexpr std::pair<TensorType, const char*> kFloats[] = {
      {kF16, "F16"}, {kBF16, "BF16"}, {kF32, "F32"}};
  std::vector<FormatInfo> out;
  size_t turn = 0;
  for (const auto& [type, bits] : kTypes) {
    for (const int group : {32, 64, 128}) {
      for (size_t f = 0; f < 3; ++f) {
        if (!every_float && f != turn % 3) continue;
        out.push_back(
            {type,
             "Affine" + std::to_string(bits) + "Group" + std::to_string(group) + kFloats[f].second,
             group, 0, bits, kFloats[f].first});
      }
      ++turn;
    }
    ++turn;
  }
  return out;
}

/// Rows of weights as a model file holds them.
struct Weights {
  FormatInfo format;
  int64_t rows, columns;
  std::vector<std::byte> bytes, scales = {}, biases = {};

  PackedLinear::Part part() const {
    return {
        format.type,
        bytes,
        rows,
        {.group = format.columns, .scale_type = format.floats, .scales = scales, .biases = biases}};
  }
  std::vector<float> values() const;  // [rows, columns]
};

/// Appends a value, rounded to a type of scales.
inline void append_float(TensorType type, float value, std::vector<std::byte>& out) {
  const uint32_t bits = float_to_bits(value);
  const uint16_t half =
      type == TensorType::kF16 ? float_to_half(value) : static_cast<uint16_t>(bits >> 16);
  const auto* from = type == TensorType::kF32 ? reinterpret_cast<const std::byte*>(&bits)
                                              : reinterpret_cast<const std::byte*>(&half);
  out.insert(out.end(), from, from + (type == TensorType::kF32 ? 4 : 2));
}

inline Weights random_matrix(const FormatInfo& format, int64_t rows, int64_t columns,
                             uint32_t seed) {
  if (!format.is_affine())
    return {format, rows, columns, random_weights(format.type, rows, columns, seed)};
  Weights out{format, rows, columns, {}};
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  out.bytes.resize(static_cast<size_t>(rows * columns / 8 * format.bits));
  for (std::byte& b : out.bytes) b = static_cast<std::byte>(random());
  for (int64_t g = 0; g < rows * columns / format.columns; ++g) {
    append_float(format.floats, 0.02f * uniform(random), out.scales);
    append_float(format.floats, uniform(random), out.biases);
  }
  return out;
}

/// Number i of an array of scales or biases.
inline float float_at(TensorType type, const std::vector<std::byte>& bytes, size_t i) {
  if (type == TensorType::kF32) {
    float value;
    std::memcpy(&value, bytes.data() + 4 * i, 4);
    return value;
  }
  const auto* half = reinterpret_cast<const uint8_t*>(bytes.data()) + 2 * i;
  return type == TensorType::kF16
             ? half_at(half, 0)
             : bfloat16_to_float(static_cast<uint16_t>(half[0] | half[1] << 8));
}

inline std::vector<float> Weights::values() const {
  if (!format.is_affine()) return weight_values(format.type, bytes);
  std::vector<float> out(static_cast<size_t>(rows * columns));
  for (size_t i = 0; i < out.size(); ++i) {
    int code = 0;  // bit by bit: rows are whole bytes, so the stream runs on from row to row
    for (size_t b = 0; b < static_cast<size_t>(format.bits); ++b) {
      const size_t at = i * static_cast<size_t>(format.bits) + b;
      code |= static_cast<int>(std::to_integer<unsigned>(bytes[at / 8]) >> at % 8 & 1) << b;
    }
    const size_t group = i / static_cast<size_t>(format.columns);
    const float product = float_at(format.floats, scales, group) * static_cast<float>(code);
    out[i] = product + float_at(format.floats, biases, group);
  }
  return out;
}

inline std::vector<Isa> available_isas() {
  std::vector<Isa> out;
  for (Isa isa : {Isa::kPortable, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Vnni, Isa::kNeonDot,
                  Isa::kAvx2Vnni, Isa::kAvx512Zen}) {
    if (isa_available(isa)) out.push_back(isa);
  }
  return out;
}

}  // namespace pippin::nn::cpu::test
