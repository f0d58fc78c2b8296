// The layout of packed weights, shared by the packer and the kernels of every instruction set.
//
// A tile is 16 rows of the matrix. Along K it is cut into groups of 32 columns, and a group into 8
// sub-vectors of 64 bytes, one 4-byte lane per row: sub-vector s holds columns 4s..4s+3, so one
// broadcast of four activations meets all 16 rows. Codes are unsigned and lie in bit planes that
// unpack by shifts and masks:
//   8-bit plane (512 bytes a group): the sub-vectors in order
//   4-bit plane (256): vector t holds sub-vector t in its low and t + 4 in its high nibbles
//   2-bit plane (128): vector t holds sub-vectors t, t + 2, t + 4, t + 6 from its low bits up
//   1-bit plane (64):  bit s of the vector is sub-vector s
// Q4_K interleaves two groups of 32, so that one multiply-add applies both scales: neighbouring
// lanes hold the same row of both groups. Q6_K interleaves sub-blocks of 16: "first" are the first
// sub-blocks of two groups, "second" their second ones. The planes of such a pair are those of rows
// 0, 1, 4, 5, 8 .., then those of rows 2, 3, 6, 7, 10 ..: packing sums to 16 bits takes four lanes
// of each in turn, which brings the rows in order.
// A tile is all its scales, as ScaleKind says, 16 rows side by side, and from the next multiple of
// 64 bytes on all its planes. Scales come first, since weights are prefetched in the order of their
// addresses: all of them have arrived when the tile begins.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/tensor_type.h"

namespace pippin::nn::cpu {

constexpr int kTileRows = 16;
constexpr int kGroup = 32;
constexpr int kSuperGroups = 8;  // groups in a K-quant's block of 256

enum class ScaleKind : uint8_t {
  kNone,             // float weights
  kHalf,             // a group: d f16
  kHalfMin,          // a group: d f16, m f16; value = d * code + m
  kExponent,         // a group: exponent byte; value = 2^(e - 128) * code
  kAffine,           // 1, 2 or 4 groups: scale, bias (AffineLayout); value = scale * code + bias
  kSuperBlock32,     // a block: d f16, 8 x s8; value = d * s * code
  kSuperBlock32Min,  // a block: d f16, dmin f16, 8 + 8 x 6 bits; value = d * s * code - dmin * m
  kSuperBlock16,     // a block: d f16, 16 x s8; value = d * s * code
  kSuperBlock16Min,  // a block: d f16, dmin f16, 16 x (4 + 4 bits); value = d * s * code - dmin * m
};

/// What tiles of one affine type may differ in. Facts of a run that kernels read at each block:
/// kernels of their own for every type, group and float would be nine times as many.
struct AffineLayout {
  int groups = 1;                        // that share a scale and a bias: 1, 2, 4
  TensorType floats = TensorType::kF16;  // of scales and biases: kF16, kBF16, kF32

  constexpr int float_bytes() const { return floats == TensorType::kF32 ? 4 : 2; }
};

/// How activations are quantised for a format.
enum class ActQuantisation : uint8_t {
  kGroups,            // each group has a scale
  kPowerOfTwoScales,  // K-quants, in blocks: a group's scale is a power of two
  kGroupPairs,        // interleaved group pairs: a block has a scale
  kSubBlocks16,       // interleaved sub-blocks of 16: each group has a scale
};
constexpr int kActQuantisations = 4;

struct TileFormat {
  ScaleKind scales = ScaleKind::kNone;
  bool plane8 = false, plane4 = false, plane2 = false, plane1 = false;
  int offset_shift = -1;     // codes mean code - 2^offset_shift; -1: code
  int code_max = 0;          // largest unsigned code (after the table)
  bool table = false;        // the nibble indexes codebook()
  bool interleaved = false;  // groups lie by twos
  int float_bytes = 0;       // bytes of a float weight
  AffineLayout affine;       // of kAffine

  constexpr bool is_float() const { return float_bytes != 0; }
  /// Whether it is a K-quant, in blocks of 256.
  constexpr bool is_super() const { return scales >= ScaleKind::kSuperBlock32; }
  constexpr ActQuantisation activations() const {
    if (interleaved)
      return scales == ScaleKind::kSuperBlock16 ? ActQuantisation::kSubBlocks16
                                                : ActQuantisation::kGroupPairs;
    return is_super() ? ActQuantisation::kPowerOfTwoScales : ActQuantisation::kGroups;
  }
  constexpr int groups_per_block() const {
    if (scales == ScaleKind::kAffine) return affine.groups;
    return is_super() ? kSuperGroups : 1;
  }
  /// Columns that a packed row must be a multiple of.
  constexpr int block_columns() const { return is_float() ? 1 : groups_per_block() * kGroup; }
  constexpr int group_plane_bytes() const {
    return is_float() ? float_bytes * kTileRows * kGroup
                      : 512 * plane8 + 256 * plane4 + 128 * plane2 + 64 * plane1;
  }
  constexpr int block_scale_bytes() const {
    switch (scales) {
      case ScaleKind::kNone:
        return 0;
      case ScaleKind::kHalf:
        return 32;
      case ScaleKind::kHalfMin:
        return 64;
      case ScaleKind::kExponent:
        return 16;
      case ScaleKind::kAffine:
        return 2 * kTileRows * affine.float_bytes();
      case ScaleKind::kSuperBlock32:
        return 32 + 8 * kTileRows;
      case ScaleKind::kSuperBlock32Min:
        return 64 + 16 * kTileRows * 6 / 8;
      case ScaleKind::kSuperBlock16:
        return 32 + 16 * kTileRows;
      case ScaleKind::kSuperBlock16Min:
        return 64 + 16 * kTileRows;
    }
    return 0;
  }
};

constexpr TileFormat tile_format(TensorType type) {
  using K = ScaleKind;
  switch (type) {
    case TensorType::kF32:
      return {.float_bytes = 4};
    case TensorType::kF16:
      return {.float_bytes = 2};
    case TensorType::kBF16:
      return {.float_bytes = 2};
    case TensorType::kQ4_0:
      return {.scales = K::kHalf, .plane4 = true, .offset_shift = 3, .code_max = 15};
    case TensorType::kQ4_1:
      return {.scales = K::kHalfMin, .plane4 = true, .code_max = 15};
    case TensorType::kQ5_0:
      return {
          .scales = K::kHalf, .plane4 = true, .plane1 = true, .offset_shift = 4, .code_max = 31};
    case TensorType::kQ5_1:
      return {.scales = K::kHalfMin, .plane4 = true, .plane1 = true, .code_max = 31};
    case TensorType::kQ8_0:
      return {.scales = K::kHalf, .plane8 = true, .offset_shift = 7, .code_max = 255};
    case TensorType::kQ2_K:
      return {.scales = K::kSuperBlock16Min, .plane2 = true, .code_max = 3};
    case TensorType::kQ3_K:
      return {.scales = K::kSuperBlock16,
              .plane2 = true,
              .plane1 = true,
              .offset_shift = 2,
              .code_max = 7};
    case TensorType::kQ4_K:
      return {.scales = K::kSuperBlock32Min, .plane4 = true, .code_max = 15, .interleaved = true};
    case TensorType::kQ5_K:
      return {.scales = K::kSuperBlock32Min, .plane4 = true, .plane1 = true, .code_max = 31};
    case TensorType::kQ6_K:
      return {.scales = K::kSuperBlock16,
              .plane4 = true,
              .plane2 = true,
              .offset_shift = 5,
              .code_max = 63,
              .interleaved = true};
    case TensorType::kIQ4_NL:
      return {
          .scales = K::kHalf, .plane4 = true, .offset_shift = 7, .code_max = 255, .table = true};
    case TensorType::kIQ4_XS:
      return {.scales = K::kSuperBlock32,
              .plane4 = true,
              .offset_shift = 7,
              .code_max = 255,
              .table = true};
    case TensorType::kMXFP4:
      return {
          .scales = K::kExponent, .plane4 = true, .offset_shift = 4, .code_max = 28, .table = true};
    case TensorType::kAffine2:
      return {.scales = K::kAffine, .plane2 = true, .code_max = 3};
    case TensorType::kAffine3:
      return {.scales = K::kAffine, .plane2 = true, .plane1 = true, .code_max = 7};
    case TensorType::kAffine4:
      return {.scales = K::kAffine, .plane4 = true, .code_max = 15};
    case TensorType::kAffine5:
      return {.scales = K::kAffine, .plane4 = true, .plane1 = true, .code_max = 31};
    case TensorType::kAffine6:
      return {.scales = K::kAffine, .plane4 = true, .plane2 = true, .code_max = 63};
    case TensorType::kAffine8:
      return {.scales = K::kAffine, .plane8 = true, .code_max = 255};
  }
  return {};
}

/// The same of one run of tiles.
constexpr TileFormat tile_format(TensorType type, AffineLayout affine) {
  TileFormat format = tile_format(type);
  format.affine = affine;
  return format;
}

/// One tile, or a run of its groups.
struct TileView {
  const uint8_t* planes = nullptr;
  const uint8_t* scales = nullptr;
  AffineLayout affine;  // of kAffine*
};

}  // namespace pippin::nn::cpu
