// The table of inner kernels that one instruction set provides. Drivers (linear.cpp, attention.cpp,
// norm_rope.cpp) cut the work and call through it. Every path performs the same operations in the
// same order, so all paths agree bit for bit.
#pragma once

#include <cstdint>
#include <utility>

#include "nn/cpu/activations.h"
#include "nn/cpu/attention.h"
#include "nn/cpu/codebook.h"
#include "nn/cpu/latent.h"
#include "nn/cpu/linear.h"
#include "nn/cpu/recurrent.h"
#include "nn/cpu/tile_format.h"

namespace pippin::nn::cpu {

constexpr int kRowsMax = 128;  // activation rows that a tile kernel takes, at most

/// Writes the products of one tile with activation rows. Shapes: out [rows, 16]; its rows lie
/// `stride` floats apart.
using TileKernel = void (*)(const TileView& tile, int64_t groups, const ActRows& x, float* out,
                            int64_t stride);
/// The same with f32 activations. x: [columns, rows].
using TileKernelF32 = void (*)(const TileView& tile, int64_t columns, const float* x, int rows,
                               float* out, int64_t stride);
/// Writes the exact f32 values of one row of a tile.
using TileRow = void (*)(const TileView& tile, int64_t columns, int lane, float* out);

struct LinearKernels {
  TileKernel tile[kTensorTypes][kRowsMax + 1] =
      {};  // [type][rows]; null where that many rows have no kernel
  TileKernelF32 tile_f32[kTensorTypes][kRowsMax + 1] = {};
  TileRow row[kTensorTypes] = {};
  /// Quantises one row of `groups` groups. Group g goes to out.groups[g * out.rows], or a pair of
  /// groups to [g / 2 * out.rows] of out.group_pairs or out.sub_blocks. Block b goes to
  /// out.block_sums[b * out.rows].
  using Quantize = void (*)(const float* x, int64_t groups, const ActRows& out);
  Quantize quantize[kActQuantisations] = {};
  Quantize quantizer(ActQuantisation which) const { return quantize[static_cast<int>(which)]; }
};

/// Row-wise kernels; each takes one token's row.
struct NormRopeKernels {
  /// x += add (if not null), then out = x / rms(x) * weight.
  void (*rms_norm)(float* x, const float* add, const float* weight, float eps, int64_t dim,
                   float* out) = nullptr;
  void (*silu)(const float* gate, const float* up, int64_t count, float* out) = nullptr;
  void (*gelu_tanh)(const float* gate, const float* up, int64_t count, float* out) = nullptr;
  void (*sigmoid)(const float* gate, const float* up, int64_t count, float* out) = nullptr;
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

/// Positions per split of the keys (split-KV). Scores are normalised inside a split, and splits are
/// combined in order. The cut is part of the result, so it is the same for every way of calling.
constexpr int kKvSplit = 256;
constexpr int kQueryRowsMax = 64;  // query rows (token, head) that share one pass over the keys

/// Queries of `group` heads that share a K head, at positions [first, first + rows / group) of one
/// block of 16. Row r is token r / group, head r % group.
struct AttentionTile {
  const float* q = nullptr;      // f16 KV: [D, kQueryRowsMax], transposed, scaled
  const ActGroup* q8 = nullptr;  // int8 KV: [groups, rows], scaled
  int rows = 0;
  int group = 0;
  int first = 0;
  int head_dim = 0;
  int window = 0;
  int chunk = 0;
  float soft_cap = 0;
  const uint8_t* k = nullptr;  // of the K head, in block 0
  const uint8_t* v = nullptr;
  int64_t head_bytes = 0;    // of K, or of V: one block's slice of the K head
  int64_t block_stride = 0;  // bytes from block to block
  const int32_t* blocks = nullptr;
};

/// The partial result of one split of a tile, or of all splits so far.
struct AttentionPart {
  float* row_max = nullptr;  // [rows] largest score
  float* sum = nullptr;      // [rows] of exp(score - row_max)
  float* out = nullptr;      // [rows, D] weighted values
};

struct AttentionKernels {
  /// Computes one split over KV of a type. scores: scratch [kQueryRowsMax, kKvSplit].
  using Split = void (*)(const AttentionTile& tile, int split, float* scores,
                         const AttentionPart& part);
  Split split[kKvTypes] = {};
  /// Combines the next split with the result so far.
  void (*combine)(int rows, int head_dim, const AttentionPart& next,
                  const AttentionPart& total) = nullptr;
  /// Adds the sink (a logit without a value; null: none) and writes out[row] / sum.
  void (*finish)(const AttentionPart& total, int row, int head_dim, const float* sink,
                 float* out) = nullptr;
};

struct Kernels {
  LinearKernels linear;
  NormRopeKernels norm_rope;
  AttentionKernels attention;
  RecurrentKernels recurrent;
  LatentKernels latent;
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
