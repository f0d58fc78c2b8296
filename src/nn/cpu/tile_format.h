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

#include "base/block_codes.h"
#include "base/tensor_type.h"
#include "nn/cpu/codebook.h"
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
  bool table = false;        // the bits of a code index codebook()
  int step_shift = 0;        // of grid formats: d is taken times 2^-step_shift
  bool interleaved = false;  // groups, or sub-blocks of 16, lie in pairs
  int float_bytes = 0;       // bytes of a float weight
  AffineLayout affine;       // of kAffine

  constexpr bool is_float() const { return float_bytes != 0; }
  /// Whether activations have power-of-two scales: of K-quants, and where 16 columns share a scale.
  constexpr bool is_super() const { return scales >= ScaleKind::kSuperBlock32; }
  constexpr ActQuantisation activations() const {
    if (interleaved)
      return scales == ScaleKind::kSuperBlock16 ? ActQuantisation::kSubBlocks16
                                                : ActQuantisation::kGroupPairs;
    return is_super() ? ActQuantisation::kPowerOfTwoScales : ActQuantisation::kGroups;
  }
  constexpr int groups_per_block() const {
    if (scales == ScaleKind::kAffine) return affine.groups;
    return is_super() && scales != ScaleKind::kHalf16 ? kSuperGroups : 1;
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
      case ScaleKind::kHalf16:
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

/// The type whose tiles hold a type's values, all of them exactly. Its kernels are compiled once,
/// whichever codebook a tile has.
constexpr TensorType tile_type(TensorType type) {
  if (is_ternary(type)) return TensorType::kAffine2;  // scale d, bias -d
  if (type == TensorType::kIQ3_XXS) return TensorType::kIQ3_S;
  return is_grid(type) && type != TensorType::kIQ3_S ? TensorType::kIQ2_XS : type;
}

/// Codes of so many bits; as offset_shift has it.
constexpr TileFormat plain(ScaleKind scales, int bits, int offset_shift = -1) {
  return {.scales = scales,
          .plane8 = bits == 8,
          .plane4 = bits >= 4 && bits < 8,
          .plane2 = bits == 2 || bits == 3 || bits == 6,
          .plane1 = bits % 2 == 1,
          .offset_shift = offset_shift,
          .code_max = (1 << bits) - 1};
}
/// Codes that a table turns into ones of at most code_max.
constexpr TileFormat table(ScaleKind scales, int bits, int offset_shift, int code_max,
                           int step_shift = 0) {
  TileFormat format = plain(scales, bits, offset_shift);
  format.code_max = code_max;
  format.table = true;
  format.step_shift = step_shift;
  return format;
}
constexpr TileFormat interleaved(TileFormat format) {
  format.interleaved = true;
  return format;
}

struct TypedFormat {
  TensorType type;
  TileFormat format;
};
inline constexpr TypedFormat kTileFormats[] = {
    {TensorType::kF32, {.float_bytes = 4}},
    {TensorType::kF16, {.float_bytes = 2}},
    {TensorType::kBF16, {.float_bytes = 2}},
    {TensorType::kQ4_0, plain(ScaleKind::kHalf, 4, 3)},
    {TensorType::kQ4_1, plain(ScaleKind::kHalfMin, 4)},
    {TensorType::kQ5_0, plain(ScaleKind::kHalf, 5, 4)},
    {TensorType::kQ5_1, plain(ScaleKind::kHalfMin, 5)},
    {TensorType::kQ8_0, plain(ScaleKind::kHalf, 8, 7)},
    {TensorType::kQ2_K, plain(ScaleKind::kSuperBlock16Min, 2)},
    {TensorType::kQ3_K, plain(ScaleKind::kSuperBlock16, 3, 2)},
    {TensorType::kQ4_K, interleaved(plain(ScaleKind::kSuperBlock32Min, 4))},
    {TensorType::kQ5_K, plain(ScaleKind::kSuperBlock32Min, 5)},
    {TensorType::kQ6_K, interleaved(plain(ScaleKind::kSuperBlock16, 6, 5))},
    {TensorType::kIQ4_NL, table(ScaleKind::kHalf, 4, 7, 255)},
    {TensorType::kIQ4_XS, table(ScaleKind::kSuperBlock32, 4, 7, 255)},
    {TensorType::kMXFP4, table(ScaleKind::kExponent, 4, 4, 28)},
    {TensorType::kNVFP4, table(ScaleKind::kHalf16, 4, 4, 28)},
    {TensorType::kIQ2_XS, table(ScaleKind::kSuperBlock16, 3, 6, 107, 3)},
    {TensorType::kIQ3_S, table(ScaleKind::kSuperBlock32, 4, 5, 63, 1)},
    {TensorType::kAffine2, plain(ScaleKind::kAffine, 2)},
    {TensorType::kAffine3, plain(ScaleKind::kAffine, 3)},
    {TensorType::kAffine4, plain(ScaleKind::kAffine, 4)},
    {TensorType::kAffine5, plain(ScaleKind::kAffine, 5)},
    {TensorType::kAffine6, plain(ScaleKind::kAffine, 6)},
    {TensorType::kAffine8, plain(ScaleKind::kAffine, 8)},
};

/// Returns the format of the type's tiles.
constexpr TileFormat tile_format(TensorType type) {
  for (const TypedFormat& row : kTileFormats) {
    if (row.type == tile_type(type)) return row.format;
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
  AffineLayout affine;                 // of kAffine*
  const Codebook* codebook = nullptr;  // of a format with a table
};

}  // namespace pippin::nn::cpu
