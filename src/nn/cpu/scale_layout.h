// How the scales of a block lie in a tile: the numbers of 16 rows side by side, so that one load
// takes them all.
#pragma once

#include <cstdint>

#include "base/tensor_type.h"

namespace pippin::nn::cpu {

constexpr int kTileRows = 16;
constexpr int kGroup = 32;
constexpr int kSuperGroups = 8;  // groups in a K-quant's block of 256

/// The numbers above each diagram are byte offsets in a block's scales.
enum class ScaleKind : uint8_t {
  kNone,  // float weights
  /// Q4_0, Q5_0, Q8_0, IQ4_NL; a block is a group. value = d * code
  ///   0             32
  ///   | d: 16 x f16 |
  kHalf,
  /// Q4_1, Q5_1; a block is a group. value = d * code + m
  ///   0             32            64
  ///   | d: 16 x f16 | m: 16 x f16 |
  kHalfMin,
  /// MXFP4; a block is a group. value = 2^(e - 128) * code
  ///   0            16
  ///   | e: 16 x u8 |
  kExponent,
  /// MLX's affine formats; a block is 1, 2 or 4 groups. value = scale * code + bias
  ///   0                        32 (f32: 64)            64 (f32: 128)
  ///   | scale: 16 x f16 or f32 | bias: 16 x f16 or f32 |
  kAffine,
  /// IQ4_XS, IQ3_S; from here on a block is 256 columns, but of kHalf16, and activations have
  /// power-of-two scales. s[g]: of group g. value = d * s * code
  ///   0             32              48                   144             160
  ///   | d: 16 x f16 | s[0]: 16 x s8 | s[1]: 16 x s8 | .. | s[7]: 16 x s8 |
  kSuperBlock32,
  /// Q4_K, Q5_K. s[g], m[g]: 6 bits, of group g. value = d * s * code - dmin * m
  ///   0             32               64                          192                          256
  ///   | d: 16 x f16 | dmin: 16 x f16 | low bits: 8 vectors of 16 | high bits: 4 vectors of 16 |
  ///   low bits, vector i    | 7..4: of m[i] | 3..0: of s[i] |
  ///   high bits, vector i   | 7..6: of m[i+4] | 5..4: of m[i] | 3..2: of s[i+4] | 1..0: of s[i] |
  kSuperBlock32Min,
  /// Q3_K, Q6_K, IQ2_XS. s[i]: of sub-block i of 16 columns. value = d * s * code
  ///   0             32              48                   272              288
  ///   | d: 16 x f16 | s[0]: 16 x s8 | s[1]: 16 x s8 | .. | s[15]: 16 x s8 |
  kSuperBlock16,
  /// NVFP4; a block is a group. s[i]: of 16 columns. value = s * code
  ///   0                32               64
  ///   | s[0]: 16 x f16 | s[1]: 16 x f16 |
  kHalf16,
  /// Q2_K. s[i], m[i]: 4 bits, of sub-block i. value = d * s * code - dmin * m
  ///   0             32               64              320
  ///   | d: 16 x f16 | dmin: 16 x f16 | vectors 0 .. 15 |    vector i   | 7..4: m[i] | 3..0: s[i] |
  kSuperBlock16Min,
};

/// What tiles of one affine type may differ in. Kernels read it at each block: kernels of their own
/// for every group and float would be nine times as many.
struct AffineLayout {
  int groups = 1;                        // that share a scale and a bias: 1, 2, 4
  TensorType floats = TensorType::kF16;  // of scales and biases: kF16, kBF16, kF32

  constexpr int float_bytes() const { return floats == TensorType::kF32 ? 4 : 2; }
};

}  // namespace pippin::nn::cpu
