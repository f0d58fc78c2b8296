// The layout of packed weights, shared by the packer and the kernels of every instruction set.
//
// A tile is 16 rows: all scales (scale_layout.h), then all codes. Weights are prefetched in the
// order of their addresses, so the scales have arrived when the codes are read.
//   | scales of block 0 | scales of block 1 | ... | pad to 64 | planes of group 0 | group 1 | ... |
// A group is 32 columns: 8 sub-vectors of 64 bytes. One broadcast of four activations meets all
// rows.
//   sub-vector s   | row 0: c[4s] .. c[4s+3] | row 1: c[4s] .. c[4s+3] | ... | row 15 |
//   byte             0                         4                         60       64
// Codes are unsigned and split into bit planes, which shifts and masks put together:
//   plane of   bytes   vectors      bits of each byte
//   8 bits     512     s = 0..7     | sub-vector s |
//   4 bits     256     t = 0..3     | 7..4: sub-vector t + 4 | 3..0: t |
//   2 bits     128     t = 0, 1     | 7..6: t + 6 | 5..4: t + 4 | 3..2: t + 2 | 1..0: t |
//   1 bit       64     one          | bit s: sub-vector s |
// An interleaved group pair (Q4_K) mixes the rows of groups a and b, so that one multiply-add
// applies both scales. Its planes are two groups' planes, in which the lanes are:
//   first    | 0a | 0b | 1a | 1b | 4a | 4b | 5a | 5b | 8a | .. | 13b |
//   second   | 2a | 2b | 3a | 3b | 6a | 6b | 7a | 7b | 10a | .. | 15b |
// Packing sums to 16 bits takes four lanes of each in turn, which brings rows 0 to 15 in order.
// Q6_K pairs sub-blocks of 16: a holds the first ones of two groups, b the second ones.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/tensor_type.h"
#include "nn/cpu/scale_layout.h"

namespace pippin::nn::cpu {

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
  bool interleaved = false;  // groups, or sub-blocks of 16, lie in pairs
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
