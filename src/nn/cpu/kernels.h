// The table of inner kernels that one instruction set provides. Drivers (linear.cpp, attention.cpp,
// rows.cpp) cut the work and call through it. Every path performs the same operations in the same
// order, so all paths agree bit for bit.
#pragma once

#include <cstdint>
#include <utility>

#include "nn/cpu/attention.h"
#include "nn/cpu/linear.h"
#include "nn/cpu/tile_format.h"

namespace pippin::nn::cpu {

/// The sums of halves lie as Q6_K wants them, whose codes are offset by 32.
constexpr int kHalfShift = 5;

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

/// Of paired products: columns of each half group that have partners in the other half, and what is
/// added to the codes of the first and taken off those of the second.
constexpr int kPairedColumns = 12;
constexpr int kUnsignedOffset = 120;
constexpr int kSignedOffset = 8;

/// 32 activations of one row: codes, and what their sums begin with and are scaled by. Small, since
/// every tile of the weights reads all of them once more, most from the second-level cache.
struct alignas(16) ActGroup {
  int8_t q[kGroup];
  union {
    float scale;   // x ~ scale * q
    float origin;  // of K-quants' blocks, whose scale is a power of two: 1.5 * 2^23 * scale
  };
  float sum;            // scale * sum(q); not of blocks
  int32_t negative[2];  // -sum(q) and 0; of blocks: that of each half << kHalfShift
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
struct ActTwin {
  int8_t q[2 * kGroup];
  int32_t paired_start[2];  // where paired_products.h begins
};
static_assert(sizeof(ActTwin) == 72);

/// The activations of a run of rows, in the form that a tile's kernels take.
struct ActRows {
  ActGroup* groups = nullptr;  // [K / 32, rows]; null of twins
  ActTwin* twins = nullptr;    // [K / 64, rows]; null but of twins
  ActSums* sums = nullptr;     // [K / 256, rows]; null but of blocks
  int rows = 0;
};

/// A group whose largest magnitude is below this is taken as zero: the reciprocal would overflow.
constexpr float kPeakLeast = 1e-35f;
/// The largest scale that is a power of two, so that 1.5 * 2^23 of it is finite.
constexpr float kPowerMost = 0x1p100f;

constexpr int kRowsMax = 128;  // most activation rows that a tile kernel takes

/// Writes the products of one tile with activation rows to out [rows, 16], whose rows lie `stride`
/// apart.
using TileKernel = void (*)(const TileView& tile, int64_t groups, const ActRows& x, float* out,
                            int64_t stride);
/// The same with f32 activations. x: [columns, rows].
using TileKernelF32 = void (*)(const TileView& tile, int64_t columns, const float* x, int rows,
                               float* out, int64_t stride);
/// Writes the exact f32 values of one row of a tile.
using TileRow = void (*)(const TileView& tile, int64_t columns, int lane, float* out);

struct LinearKernels {
  TileKernel tile[kWeightTypes][kRowsMax + 1] =
      {};  // [type][rows]; null where that many rows have no kernel
  TileKernelF32 tile_f32[kWeightTypes][kRowsMax + 1] = {};
  TileRow row[kWeightTypes] = {};
  /// Quantises one row of `groups` groups. Group g goes to out.groups[g * out.rows], of twins two
  /// to out.twins[g / 2 * out.rows], and block b of theirs to out.sums[b * out.rows].
  using Quantize = void (*)(const float* x, int64_t groups, const ActRows& out);
  Quantize quantize[kActForms] = {};
  Quantize quantizer(ActForm form) const { return quantize[static_cast<int>(form)]; }
};

/// Row-wise kernels; each takes one token's row.
struct RowKernels {
  /// x += add (if not null), then out = x / rms(x) * weight.
  void (*rms_norm)(float* x, const float* add, const float* weight, float eps, int64_t dim,
                   float* out) = nullptr;
  void (*silu)(const float* gate, const float* up, int64_t count, float* out) = nullptr;
  void (*gelu_tanh)(const float* gate, const float* up, int64_t count, float* out) = nullptr;
  /// Writes cos and sin of position * inv_freq[i], each [half].
  void (*angles)(float position, const float* inv_freq, int half, float* cosine,
                 float* sine) = nullptr;
  /// Rotates the first 2 * half values of a head in place. Interleaved pairs take each angle twice:
  /// tables [2 * half], the sine of the even lanes negated; otherwise tables [half].
  void (*rotate)(float* head, int half, bool interleaved, const float* cosine,
                 const float* sine) = nullptr;
  /// Converts to f16; value i goes to out[i * stride].
  void (*store_half)(const float* values, int count, int64_t stride, uint16_t* out) = nullptr;
};

/// Positions per partition of the keys. Scores are normalised inside a partition, partitions are
/// merged in order: the cut is part of the result, so it is the same for every way of calling.
constexpr int kPartition = 256;
constexpr int kQueryRowsMax = 64;  // query rows (token, head) that share one pass over the keys

/// Queries at positions [first, first + rows / group), all in one 16-aligned block, for `group`
/// heads of one K head; row = token * group + head.
struct AttentionTile {
  const float* q = nullptr;      // f16 KV: [D, kQueryRowsMax], transposed, scaled
  const ActGroup* q8 = nullptr;  // int8 KV: [groups, rows], scaled
  int rows = 0;
  int group = 0;
  int first = 0;
  int head_dim = 0;
  int window = 0;
  float soft_cap = 0;
  const uint8_t* k = nullptr;  // of the K head, in block 0
  const uint8_t* v = nullptr;
  int64_t piece_bytes = 0;   // of K, or of V: what a block holds of the K head
  int64_t block_stride = 0;  // bytes from block to block
  const int32_t* blocks = nullptr;
};

/// One partition's part of a tile's result, or the running merge.
struct AttentionPart {
  float* peak = nullptr;  // [rows] largest score
  float* sum = nullptr;   // [rows] of exp(score - peak)
  float* out = nullptr;   // [rows, D] weighted values
};

struct AttentionKernels {
  /// Computes one partition over KV of a type. scores: scratch [kQueryRowsMax, kPartition].
  using Partition = void (*)(const AttentionTile& tile, int partition, float* scores,
                             const AttentionPart& part);
  Partition partition[kKvTypes] = {};
  /// Merges the next partition into the running result.
  void (*merge)(int rows, int head_dim, const AttentionPart& next,
                const AttentionPart& total) = nullptr;
  /// Adds the sink (a logit without a value; null: none) and writes out[row] / sum.
  void (*finish)(const AttentionPart& total, int row, int head_dim, const float* sink,
                 float* out) = nullptr;
};

struct Kernels {
  LinearKernels linear;
  RowKernels rows;
  AttentionKernels attention;
};

/// Return the path's kernels, or null where the compiler could not build them.
const Kernels* kernels_portable();
const Kernels* kernels_avx2();
const Kernels* kernels_avx2vnni();
const Kernels* kernels_avx512();
const Kernels* kernels_avx512vnni();
const Kernels* kernels_avx512zen();
const Kernels* kernels_neon();

/// Requires: isa_available(isa).
const Kernels& kernels(Isa isa);

/// Returns select_isa()'s path, or the portable one where a forced path cannot run.
const Kernels& default_kernels();

// attention.h's functions on a given path.
void rope_kv_write(const Kernels& path, const QkvArgs& args, const KvLayer& kv, ThreadPool& pool);
void paged_attention(const Kernels& path, const AttentionArgs& args, const KvLayer& kv,
                     ThreadPool& pool);
void rms_norm(const Kernels& path, float* x, const float* add, const float* weight, float eps,
              int64_t tokens, int64_t dim, float* out, ThreadPool& pool);

}  // namespace pippin::nn::cpu
