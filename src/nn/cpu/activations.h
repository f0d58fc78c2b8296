// Quantised activations, in each of the forms that weights want them (ActQuantisation).
#pragma once

#include <cstdint>

#include "nn/cpu/tile_format.h"

namespace pippin::nn::cpu {

/// Largest activation code, and that of K-quants' blocks: what paired_products.h adds to it stays a
/// byte.
constexpr int kCodeMost = 127;
constexpr int kBlockCodeMost = 120;

/// The largest sum of magnitudes of a twin group's codes: times 15, the largest 4-bit code, its dot
/// products fit 16 bits.
constexpr int kTwinMost = 32767 / 15;
/// What the scale of a block is multiplied by where a group has more, so that with 32 codes rounded
/// up by a half twice it has not.
constexpr float twin_stretch(int most) { return static_cast<float>(most) / (kTwinMost - 40); }

/// Largest code of activations that meet half groups of twins, and the largest sum of a half's
/// magnitudes: times 32, the largest magnitude of a 6-bit code, its dot products fit 16 bits.
constexpr int kHalfCodeMost = 96;
constexpr int kHalfMost = 32767 / 32;
constexpr float half_stretch(int most) { return static_cast<float>(most) / (kHalfMost - 20); }

/// Of paired products: columns of each half group that have partners in the other half, and what is
/// added to the codes of the first and taken off those of the second.
constexpr int kPairedColumns = 12;
constexpr int kUnsignedOffset = 120;
constexpr int kSignedOffset = 8;
/// The same where halves have scales: columns of each half that have partners eight columns on.
constexpr int kPairedOfHalf = 4;
constexpr int kUnsignedOfHalf = 96;
constexpr int kSignedOfHalf = 32;

/// 32 activations of one row: codes, and what their sums begin with and are scaled by. Small, since
/// every tile of the weights reads all of them once more, most from the second-level cache.
struct alignas(16) ActGroup {
  int8_t q[kGroup];
  union {
    float scale;   // x ~ scale * q
    float origin;  // of K-quants' blocks, whose scale is a power of two: 1.5 * 2^23 * scale
  };
  float sum;            // scale * sum(q); not of blocks
  int32_t negative[2];  // -sum(q) and 0; of blocks: that of each half
};
static_assert(sizeof(ActGroup) == 48);

/// What minimums meet, of one row's block of 256 (K-quants): the sums of its groups as numbers of
/// 16 bits, two by two, and the scale of them all; of twins, that of their codes, too. Apart from
/// the groups: side by side they are read for all rows at once.
struct alignas(32) ActSums {
  int32_t pairs[kSuperGroups / 2];  // of groups 2 p and 2 p + 1
  float scale;
};

/// Two groups of one row whose block of 256 has one scale (ActSums), for weights whose groups lie
/// by twos (TileFormat): four codes of the first, four of the second, in turns.
struct ActGroupPair {
  int8_t q[2 * kGroup];
  int32_t paired_start[2];  // where paired_products.h begins
};
static_assert(sizeof(ActGroupPair) == 72);

/// Two groups for weights whose half groups have scales and lie as twins: of each group four codes
/// of the first half, four of the second, in turns. Each group has a scale; no sum is wanted of
/// them.
struct alignas(8) ActSubBlocks16 {
  int8_t q[2 * kGroup];
  // Of each group's halves:
  int32_t start[2][2];         // what takes the offset of 32 away
  int32_t paired_start[2][2];  // the same where paired_products.h begins
  float scale[2];
};
static_assert(sizeof(ActSubBlocks16) == 104);

/// The activations of a run of rows, in the form that a tile's kernels take.
struct ActRows {
  ActGroup* groups = nullptr;        // [K / 32, rows]; of kGroups and kPowerOfTwoScales
  ActGroupPair* twins = nullptr;     // [K / 64, rows]; of kTwins
  ActSubBlocks16* halves = nullptr;  // [K / 64, rows]; of kSubBlocks16
  ActSums* sums = nullptr;           // [K / 256, rows]; of kPowerOfTwoScales and kTwins
  int rows = 0;
};

/// A group whose largest magnitude is below this is taken as zero: the reciprocal would overflow.
constexpr float kPeakLeast = 1e-35f;
/// The largest scale that is a power of two, so that 1.5 * 2^23 of it is finite.
constexpr float kPowerMost = 0x1p100f;

}  // namespace pippin::nn::cpu
