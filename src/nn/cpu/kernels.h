// The table of inner kernels that one instruction set provides. Drivers (linear.cpp, attention.cpp, rows.cpp) cut the work and call through it.
// Every path performs the same operations in the same order, so all paths agree bit for bit.
#pragma once

#include <cstdint>

#include "nn/cpu/linear.h"
#include "nn/cpu/tile_format.h"

namespace pippin::nn::cpu {

/// 32 activations of one row: codes, their scale, and sums for weights with offsets or minimums.
struct alignas(64) ActGroup {
  int8_t q[kGroup];
  float scale;          // x ~ scale * q
  float sum;            // scale * sum(q)
  int32_t negative_sum;     // -sum(q)
  int32_t negative_half[2];  // the same of each half
  float half_sum[2];    // scale * sum of each half
  int32_t unused;
};
static_assert(sizeof(ActGroup) == 64);

constexpr int kRowsMax = 16;  // most activation rows that a tile kernel takes

/// Adds a run of groups of one tile times `rows` activation rows to out [rows, 16]. x: [groups, rows].
using TileKernel = void (*)(const TileView& tile, int64_t groups, const ActGroup* x, float* out);
/// The same with f32 activations: x [rows, K] with `stride` floats between rows, from the run's first column.
using TileKernelF32 = void (*)(const TileView& tile, int64_t columns, const float* x, int64_t stride, float* out);
/// Writes the exact f32 values of one row of a tile.
using TileRow = void (*)(const TileView& tile, int64_t columns, int lane, float* out);

struct LinearKernels {
  TileKernel tile[kWeightTypes][kRowsMax + 1] = {};  // [type][rows]; null where that many rows have no kernel
  TileKernelF32 tile_f32[kWeightTypes][kRowsMax + 1] = {};
  TileRow row[kWeightTypes] = {};
  /// Quantises one row of `groups` groups; group g goes to out[g * stride].
  void (*quantize)(const float* x, int64_t groups, ActGroup* out, int64_t stride) = nullptr;
  int rows_best = 1;  // rows of the widest kernel
};

struct Kernels {
  LinearKernels linear;
};

/// Return the path's kernels, or null where the compiler could not build them.
const Kernels* kernels_portable();
const Kernels* kernels_avx2();
const Kernels* kernels_avx512();
const Kernels* kernels_avx512vnni();
const Kernels* kernels_neon();

/// Requires: isa_available(isa).
const Kernels& kernels(Isa isa);

/// Returns select_isa()'s path, or the portable one where a forced path cannot run.
const Kernels& default_kernels();

}  // namespace pippin::nn::cpu
