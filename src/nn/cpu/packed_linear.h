// What a PackedLinear holds: tiles of 16 rows (tile_format.h), part after part. Internal to nn/cpu.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "nn/cpu/kernels.h"
#include "nn/cpu/linear.h"
#include "nn/cpu/tile_format.h"

namespace pippin::nn::cpu {

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// A run of tiles of one format: one part of the stack. Its last tile may hold fewer than 16 rows.
struct TileRun {
  TensorType type = TensorType::kF32;  // of the tiles: tile_type() of the part's type
  TileFormat format;                   // of the type and, of kAffine*, its layout
  const Codebook* codebook = nullptr;  // of the part's type
  int64_t first_row = 0;
  int64_t rows = 0;
  int64_t first_tile = 0;
  int64_t tiles = 0;
  size_t offset = 0;         // of the first tile
  size_t tile_bytes = 0;     // a multiple of 64
  size_t tile_step = 0;      // from tile to tile
  size_t planes_offset = 0;  // inside a tile, behind its scales
};

struct PackedLinear::Impl {
  Impl(int64_t n, int64_t k, size_t size, WeightArena& arena, const Kernels& path)
      : rows(n), columns(k), bytes(size), memory(arena.take(size)), kernels(&path) {}

  /// The run's tile t.
  TileView tile(const TileRun& run, int64_t t) const {
    const uint8_t* base = memory.get() + run.offset + static_cast<size_t>(t) * run.tile_step;
    return {base + run.planes_offset, base, run.format.affine, run.codebook};
  }
  int64_t tiles() const { return runs.back().first_tile + runs.back().tiles; }
  /// Tiles that the threads share out. Of interleaved runs, pairs of tiles.
  int64_t n_tiles() const { return interleaved ? runs.front().tiles : tiles(); }

  int64_t rows;
  int64_t columns;
  std::vector<TileRun> runs;
  bool interleaved = false;  // two runs, whose tiles alternate in memory
  size_t bytes;
  std::shared_ptr<uint8_t> memory;
  const Kernels* kernels;
};

/// Returns the type's codebook, or null.
const Codebook* codebook_of(TensorType type);

/// The layout of a part's tiles; of the default values where its tiles are of no affine type.
constexpr AffineLayout affine_layout(TensorType type, const QuantisationParameters& mlx) {
  constexpr int kColumnsMax = 128;
  if (is_ternary(type)) return {.groups = std::min(kColumnsMax, block_elements(type)) / kGroup};
  if (!is_affine(type)) return {};
  return {.groups = mlx.group / kGroup, .floats = mlx.scale_type};
}

/// Where up to 16 rows of a tile begin in the model file.
struct TileSource {
  int rows = 0;  // of the arrays, that many are set
  std::array<const std::byte*, kTileRows> codes{};
  // Where they lie apart from the codes (QuantisationParameters); else null.
  std::array<const std::byte*, kTileRows> scales{}, biases{};
};

/// Packs the rows as one tile; missing rows become zeros.
void pack_tile(TensorType type, const AffineLayout& affine, const TileSource& source,
               int64_t columns, uint8_t* planes, uint8_t* scales);

/// Bytes that one row of `columns` values takes in the model file. Zeros: `columns` is not a whole
/// number of blocks, or of groups that can be packed.
struct FileRow {
  size_t codes = 0;
  size_t scales = 0, biases = 0;  // where they lie apart
};
FileRow file_row(TensorType type, const QuantisationParameters& mlx, int64_t columns);

}  // namespace pippin::nn::cpu
