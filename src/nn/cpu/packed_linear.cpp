// Packing of whole matrices.
#include "nn/cpu/packed_linear.h"

#include <algorithm>
#include <span>
#include <vector>

#include "base/check.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace pippin::nn::cpu {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kLine = 64;  // of the caches

size_t round_up(size_t a, size_t b) { return (a + b - 1) / b * b; }

}  // namespace

std::shared_ptr<uint8_t> WeightArena::take(size_t bytes) {
  const size_t needed = round_up(std::max<size_t>(bytes, 1), kLine);
  if (size_ - used_ < needed) {
    size_ = round_up(std::max(needed, chunk_bytes_), kHugePage);
    used_ = 0;
    chunk_.reset(static_cast<uint8_t*>(std::aligned_alloc(kHugePage, size_)), std::free);
    CHECK(chunk_ != nullptr, "out of memory for weights; the loader budgets for them");
#if defined(__linux__)
    madvise(chunk_.get(), size_, MADV_HUGEPAGE);  // advice: where the system has none, all works on
#endif
  }
  uint8_t* memory = chunk_.get() + used_;
  used_ += needed;
  return {chunk_, memory};
}

namespace {

// The run of a part that begins at the given row, tile and byte.
Result<TileRun> layout_run(const PackedLinear::Part& part, int64_t columns, int64_t row,
                           int64_t tile, size_t offset) {
  const FileRow file = columns > 0 ? file_row(part.type, part.mlx, columns) : FileRow{};
  if (file.codes == 0) {
    return fail(Code::kUnsupported,
                "[cpu] " + std::to_string(columns) +
                    " columns are not whole blocks or groups of the weight's format");
  }
  const auto holds = [&](std::span<const std::byte> bytes, size_t row_bytes) {
    return row_bytes == 0 || bytes.size() / row_bytes >= static_cast<size_t>(part.rows);
  };
  if (part.rows <= 0 || !holds(part.bytes, file.codes) || !holds(part.mlx.scales, file.scales) ||
      !holds(part.mlx.biases, file.biases)) {
    return fail(Code::kInvalidFile, "[cpu] weights or their scales end before their last row");
  }
  TileRun run{.type = tile_type(part.type),
              .format = tile_format(part.type, affine_layout(part.type, part.mlx)),
              .codebook = codebook_of(part.type),
              .first_row = row,
              .rows = part.rows,
              .first_tile = tile,
              .tiles = ceil_div(part.rows, kTileRows),
              .offset = offset};
  const TileFormat& format = run.format;
  if (format.is_float()) {
    run.tile_bytes = round_up(static_cast<size_t>(columns * kTileRows * format.float_bytes), kLine);
  } else {
    const int64_t blocks = columns / format.block_columns();
    run.planes_offset = round_up(static_cast<size_t>(blocks * format.block_scale_bytes()), kLine);
    run.tile_bytes =
        run.planes_offset + static_cast<size_t>(columns / kGroup * format.group_plane_bytes());
  }
  run.tile_step = run.tile_bytes;
  return run;
}

// Where the rows of tile `t` of a part begin.
TileSource tile_source(const PackedLinear::Part& part, const FileRow& file, int64_t t) {
  TileSource source{.rows =
                        static_cast<int>(std::min<int64_t>(kTileRows, part.rows - t * kTileRows))};
  for (size_t r = 0; r < static_cast<size_t>(source.rows); ++r) {
    const size_t row = static_cast<size_t>(t * kTileRows) + r;
    source.codes[r] = part.bytes.data() + row * file.codes;
    if (file.scales != 0) source.scales[r] = part.mlx.scales.data() + row * file.scales;
    if (file.biases != 0) source.biases[r] = part.mlx.biases.data() + row * file.biases;
  }
  return source;
}

}  // namespace

double packed_bits(TensorType type) {
  const TileFormat format = tile_format(type, affine_layout(type, {}));
  const double scales = static_cast<double>(format.block_scale_bytes()) / format.groups_per_block();
  return 8 * (format.group_plane_bytes() + scales) / (kTileRows * kGroup);
}

Result<PackedLinear> PackedLinear::pack(std::span<const Part> parts, int64_t columns, Isa isa,
                                        ThreadPool& pool, WeightArena* arena, Order order) {
  CHECK(!parts.empty(), "at least one part");
  const bool interleaved = order == Order::kInterleaved;
  CHECK(!interleaved || (parts.size() == 2 && parts[0].rows == parts[1].rows), "two parts alike");
  std::vector<TileRun> runs;
  size_t bytes = 0;
  int64_t row = 0;
  int64_t tile = 0;
  for (const Part& part : parts) {
    ASSIGN_OR_RETURN(const TileRun run, layout_run(part, columns, row, tile, bytes));
    bytes += static_cast<size_t>(run.tiles) * run.tile_bytes;
    row += run.rows;
    tile += run.tiles;
    runs.push_back(run);
  }
  if (interleaved) {
    runs[1].offset = runs[0].tile_bytes;
    for (TileRun& run : runs) run.tile_step = runs[0].tile_bytes + runs[1].tile_bytes;
  }
  WeightArena own(0);
  auto impl =
      std::make_unique<Impl>(row, columns, bytes, arena != nullptr ? *arena : own, kernels(isa));
  impl->runs = std::move(runs);
  impl->interleaved = interleaved;

  for (size_t p = 0; p < parts.size(); ++p) {
    const TileRun& run = impl->runs[p];
    const FileRow file = file_row(parts[p].type, parts[p].mlx, columns);
    const int64_t per_task =
        std::max<int64_t>(1, static_cast<int64_t>((size_t{1} << 18) / run.tile_bytes));
    pool.run(static_cast<int>(ceil_div(run.tiles, per_task)), [&](int task, int) {
      for (int64_t t = task * per_task; t < std::min(run.tiles, (task + 1) * per_task); ++t) {
        uint8_t* scales = impl->memory.get() + run.offset + static_cast<size_t>(t) * run.tile_step;
        pack_tile(parts[p].type, run.format.affine, tile_source(parts[p], file, t), columns,
                  scales + run.planes_offset, scales);
      }
    });
  }
  return PackedLinear(std::move(impl));
}

PackedLinear::PackedLinear(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PackedLinear::PackedLinear(PackedLinear&&) noexcept = default;
PackedLinear& PackedLinear::operator=(PackedLinear&&) noexcept = default;
PackedLinear::~PackedLinear() = default;

int64_t PackedLinear::rows() const { return impl_->rows; }
int64_t PackedLinear::columns() const { return impl_->columns; }
size_t PackedLinear::bytes() const { return impl_->bytes; }

void PackedLinear::row(int64_t n, float* out) const {
  CHECK(n >= 0 && n < impl_->rows, "a row of the matrix");
  for (const TileRun& run : impl_->runs) {
    const int64_t inside = n - run.first_row;
    if (inside >= run.rows) continue;
    const TileView tile = impl_->tile(run, inside / kTileRows);
    impl_->kernels->linear.row[static_cast<int>(run.type)](
        tile, impl_->columns, static_cast<int>(inside % kTileRows), out);
    return;
  }
}

}  // namespace pippin::nn::cpu
