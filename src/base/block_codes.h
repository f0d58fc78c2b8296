// Blocks of GGML formats whose codes have to be looked up or worked out, taken apart: the grid
// formats, IQ1_S to IQ3_S, and the ternary and binary ones. Plain functions; thread: any.
// Source: the block layouts of ggml-common.h and the reference of ggml-quants.c.
#pragma once

#include <array>
#include <cstdint>

#include "base/tensor_type.h"

namespace pippin {

/// A block of a grid format: value = d * grid_step(type) * scale[k / 16] *
/// grid_values(type)[code[k]]. The products are exact in f32, in any order.
struct GridBlock {
  uint16_t d;         // f16
  uint8_t scale[16];  // odd, at most 31
  uint8_t code[256];  // below 8; of IQ3_XXS and IQ3_S below 16
};
constexpr bool is_grid(TensorType type) {
  return type >= TensorType::kIQ1_S && type <= TensorType::kIQ3_S;
}
/// Requires: is_grid(type); `in` holds a block.
void read_grid_block(TensorType type, const uint8_t* in, GridBlock& out);

/// What the codes stand for: magnitudes, then the same negated. Of IQ1_S and IQ1_M eight times a
/// point of -1, 0, 1, moved up by one, then down.
constexpr std::array<int8_t, 16> grid_values(TensorType type) {
  switch (type) {
    case TensorType::kIQ1_S:
    case TensorType::kIQ1_M:
      return {-7, 1, 9, 0, -9, -1, 7, 0};
    case TensorType::kIQ3_XXS:
      return {2, 6, 10, 14, 18, 22, 26, 31, -2, -6, -10, -14, -18, -22, -26, -31};
    case TensorType::kIQ3_S:
      return {2, 6, 10, 14, 18, 22, 26, 30, -2, -6, -10, -14, -18, -22, -26, -30};
    default:
      return {8, 25, 43, 0, -8, -25, -43, 0};
  }
}
/// A power of two.
constexpr int grid_step_shift(TensorType type) {
  return type == TensorType::kIQ3_XXS || type == TensorType::kIQ3_S ? 1 : 3;
}
constexpr float grid_step(TensorType type) {
  return 1.0f / static_cast<float>(1 << grid_step_shift(type));
}

/// A 6-bit scale and a 6-bit minimum, as Q4_K and Q5_K pack those of eight groups into 12 bytes.
struct ScaleMin {
  int scale, min;
};
constexpr ScaleMin packed_scale_min(const uint8_t* in, int group) {
  if (group < 4) return {in[group] & 63, in[group + 4] & 63};
  return {(in[group + 4] & 15) | in[group - 4] >> 6 << 4, in[group + 4] >> 4 | in[group] >> 6 << 4};
}

/// A block of TQ1_0, TQ2_0, Q1_0 or Q2_0: value = d * (code - 1).
struct TernaryBlock {
  uint16_t d;         // f16
  uint8_t code[256];  // 0 to 3; as many as the block has
};
constexpr bool is_ternary(TensorType type) {
  return type >= TensorType::kTQ1_0 && type <= TensorType::kQ2_0;
}
/// Requires: is_ternary(type); `in` holds a block.
void read_ternary_block(TensorType type, const uint8_t* in, TernaryBlock& out);

/// A scale of NVFP4, E4M3 without a sign, halved since kE2M1Doubled's codes are doubled. The bits
/// of NaN mean zero.
constexpr float half_ue4m3(uint8_t bits) {
  const int exponent = bits >> 3 & 15, mantissa = bits & 7;
  if (bits == 0x7f) return 0;
  const float step = 1.0f / 1024;  // half of 2^-9, a subnormal's
  if (exponent == 0) return static_cast<float>(mantissa) * step;
  return static_cast<float>((8 + mantissa) << (exponent - 1)) * step;
}

/// Twice the values of E2M1. Source: OCP Microscaling Formats 1.0.
inline constexpr int8_t kE2M1Doubled[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                            0, -1, -2, -3, -4, -6, -8, -12};

}  // namespace pippin
