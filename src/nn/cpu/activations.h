// Quantised activations: a struct for each ActQuantisation. docs/kernels.md draws their bytes.
#pragma once

#include <cstdint>

#include "nn/cpu/tile_format.h"

namespace pippin::nn::cpu {

/// The largest activation codes: of a group, and of a K-quant's block. The second leaves room for
/// the offsets of the Winograd inner product (winograd-inl.h).
constexpr int kCodeMax = 127;
constexpr int kBlockCodeMax = 120;

/// The largest sum of magnitudes of a group's codes in an interleaved group pair. Times 15, the
/// largest 4-bit code, a dot product fits 16 bits.
constexpr int kGroupMagnitudesMax = 32767 / 15;
/// Returns what to multiply a block's scale by where a group's magnitudes add up to `sum`. Rounding
/// adds at most a half to each of 32 codes, twice: hence the margin.
constexpr float group_stretch(int sum) {
  return static_cast<float>(sum) / (kGroupMagnitudesMax - 40);
}

/// The same two limits where sub-blocks of 16 have scales. Times 32, the largest magnitude of a
/// 6-bit code, a dot product fits 16 bits.
constexpr int kSubBlockCodeMax = 96;
constexpr int kSubBlockMagnitudesMax = 32767 / 32;
constexpr float sub_block_stretch(int sum) {
  return static_cast<float>(sum) / (kSubBlockMagnitudesMax - 20);
}

/// Winograd inner product: columns of a group's first 16 that have a partner 16 columns on. The
/// first offset is added to the earlier column's codes, the second taken off the partner's.
constexpr int kWinogradColumns = 12;
constexpr int kUnsignedOffset = 120;
constexpr int kSignedOffset = 8;
/// The same where sub-blocks have scales: partners lie eight columns on, in the same sub-block.
constexpr int kSubBlockWinogradColumns = 4;
constexpr int kSubBlockUnsignedOffset = 96;
constexpr int kSubBlockSignedOffset = 32;

/// 32 activations of one row: int8 values, scale, initial accumulator. Every tile of the weights
/// reads all of them again, mostly from the second-level cache; hence small.
struct alignas(16) ActGroup {
  int8_t q[kGroup];
  union {
    float scale;   // x ~ scale * q
    float origin;  // of kPowerOfTwoScales: 1.5 * 2^23 * scale
  };
  float sum;            // scale * sum(q); 0 with kPowerOfTwoScales
  int32_t negative[2];  // -sum(q), 0; with kPowerOfTwoScales -sum(q) of each sub-block
};
static_assert(sizeof(ActGroup) == 48);

/// Activation sums of one row's block of 256, multiplied by the block's minimums. They lie apart
/// from the groups, so that those of all rows are read side by side.
struct alignas(32) BlockSums {
  int32_t pairs[kSuperGroups / 2];  // s16 sums of groups 2 p (low) and 2 p + 1 (high)
  float scale;                      // of the sums; with kGroupPairs of the codes, too
};

/// Two groups of one row, for weights whose groups are interleaved pairs (TileFormat). The scale is
/// that of the block (BlockSums).
struct ActGroupPair {
  int8_t q[2 * kGroup];       // four codes of the first group, four of the second, and so on
  int32_t winograd_start[2];  // initial accumulators of winograd-inl.h
};
static_assert(sizeof(ActGroupPair) == 72);

/// Two groups of one row, for weights whose sub-blocks of 16 have scales and are interleaved.
struct alignas(8) ActSubBlocks16 {
  int8_t q[2 * kGroup];  // of each group: four codes of the first sub-block, four of the second ...
  int32_t start[2][2];   // [group][sub-block] initial accumulators: -32 * sum(q)
  int32_t winograd_start[2][2];  // the same for winograd-inl.h
  float scale[2];                // [group]
};
static_assert(sizeof(ActSubBlocks16) == 104);

/// The activations of a run of rows, as a tile's kernels take them.
struct ActRows {
  ActGroup* groups = nullptr;            // [K / 32, rows]; of kGroups and kPowerOfTwoScales
  ActGroupPair* group_pairs = nullptr;   // [K / 64, rows]; of kGroupPairs
  ActSubBlocks16* sub_blocks = nullptr;  // [K / 64, rows]; of kSubBlocks16
  BlockSums* block_sums = nullptr;       // [K / 256, rows]; of kPowerOfTwoScales and kGroupPairs
  int rows = 0;
};

/// A group whose largest magnitude (amax) is at most this counts as zero: the reciprocal would
/// overflow.
constexpr float kAmaxMin = 1e-35f;
/// The largest scale that is a power of two, so that 1.5 * 2^23 of it is finite.
constexpr float kPowerMax = 0x1p100f;

}  // namespace pippin::nn::cpu
