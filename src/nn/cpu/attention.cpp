// Cuts paged attention into tiles: queries of one sequence that share a K head. Where tiles are
// few, their keys are cut into splits.
#include "nn/cpu/attention.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/check.h"
#include "nn/cpu/kernels.h"

namespace pippin::nn::cpu {
namespace {

// A tile before its queries are loaded.
struct TileSpec {
  const AttentionRow* row;
  int token;  // first of the sequence's tokens in this tile
  int tokens;
  int head;   // first query head
  int group;  // query heads
  int kv_head;
  int first_split;
  int splits;
  size_t first_part;  // index of its first partial result, when split

  int rows() const { return tokens * group; }
};

class Attention {
 public:
  Attention(const Kernels& path, const AttentionArgs& args, const KvLayer& kv, ThreadPool& pool)
      : path_(path.attention),
        split_(path.attention.split[static_cast<int>(kv.type)]),
        quantize_(path.linear.quantizer(ActQuantisation::kGroups)),
        args_(args),
        kv_(kv),
        pool_(pool) {
    CHECK(kv.head_dim % 16 == 0 && kv.kv_heads > 0 && args.heads % kv.kv_heads == 0,
          "the loader checks heads");
    for (const AttentionRow& row : args.rows) cut_row(row);
  }

  void run() {
    const int tiles = static_cast<int>(tiles_.size());
    if (work_ < kWorkAlone || pool_.threads() == 1) {
      for (int i = 0; i < tiles; ++i) whole_tile(tiles_[static_cast<size_t>(i)]);
    } else if (tiles >= 4 * pool_.threads() || static_cast<int>(parts_) == tiles) {
      // The longest, last in the list, run first, so that threads end together.
      pool_.run(tiles, [&](int i, int) { whole_tile(tiles_[static_cast<size_t>(tiles - 1 - i)]); });
    } else {
      run_splits();
    }
  }

 private:
  static constexpr int64_t kWorkAlone = 100000;  // multiply-adds: a few microseconds

  void cut_row(const AttentionRow& row);
  AttentionTile tile_of(const TileSpec& spec, float* q) const;
  const float* query(const TileSpec& spec, int row) const;
  void load_queries(const TileSpec& spec, float* q) const;
  const ActGroup* quantize_queries(const TileSpec& spec) const;
  void whole_tile(const TileSpec& spec) const;
  void finish_tile(const TileSpec& spec, const AttentionPart& total) const;
  void run_splits();

  size_t part_floats() const {
    return static_cast<size_t>(kQueryRowsMax) * static_cast<size_t>(kv_.head_dim + 2);
  }
  AttentionPart part_at(float* memory) const {
    return {memory, memory + kQueryRowsMax, memory + 2 * kQueryRowsMax};
  }

  // Per thread: scores, transposed queries and two partial results.
  float* scratch() const {
    static thread_local std::vector<float> memory;
    const size_t needed =
        static_cast<size_t>(kQueryRowsMax) * static_cast<size_t>(kKvSplit + kv_.head_dim) +
        2 * part_floats();
    if (memory.size() < needed) memory.resize(needed);
    return memory.data();
  }

  const AttentionKernels& path_;
  const AttentionKernels::Split split_;
  const LinearKernels::Quantize quantize_;
  const AttentionArgs& args_;
  const KvLayer& kv_;
  ThreadPool& pool_;
  std::vector<TileSpec> tiles_;
  size_t parts_ = 0;
  int64_t work_ = 0;
};

void Attention::cut_row(const AttentionRow& row) {
  const int shared = args_.heads / kv_.kv_heads;
  const int group_max = std::min(shared, kQueryRowsMax);
  const int tokens_max = kQueryRowsMax / group_max;
  for (int token = 0; token < row.tokens;) {
    const int position = row.start + token;
    const int in_block =
        KvLayer::kBlock - position % KvLayer::kBlock;  // a tile ends with its block of positions
    const int tokens = std::min({row.tokens - token, in_block, tokens_max});
    const int oldest = first_visible(position, args_.window, args_.chunk);
    const int first_split = oldest / kKvSplit;
    const int splits = (position + tokens - 1) / kKvSplit + 1 - first_split;
    for (int kv_head = 0; kv_head < kv_.kv_heads; ++kv_head) {
      for (int in_group = 0; in_group < shared; in_group += group_max) {
        const int group = std::min(group_max, shared - in_group);
        tiles_.push_back({&row, token, tokens, kv_head * shared + in_group, group, kv_head,
                          first_split, splits, parts_});
        parts_ += static_cast<size_t>(splits);
        work_ += int64_t{2} * tokens * group * kv_.head_dim * (position + tokens - oldest);
      }
    }
    token += tokens;
  }
}

// The query of a tile's row, [D].
const float* Attention::query(const TileSpec& spec, int row) const {
  const int64_t token = spec.row->row + spec.token + row / spec.group;
  return args_.q + (token * args_.heads + spec.head + row % spec.group) * kv_.head_dim;
}

void Attention::load_queries(const TileSpec& spec, float* q) const {
  for (int row = 0; row < spec.rows(); ++row) {
    const float* from = query(spec, row);
    for (int d = 0; d < kv_.head_dim; ++d) q[d * kQueryRowsMax + row] = from[d] * args_.scale;
  }
}

const ActGroup* Attention::quantize_queries(const TileSpec& spec) const {
  static thread_local std::vector<ActGroup> memory;
  const int rows = spec.rows(), groups = kv_.groups();
  const auto needed = static_cast<size_t>(rows * groups);
  if (memory.size() < needed) memory.resize(needed);
  std::array<float, kHeadDimMax> scaled;
  std::fill(scaled.begin() + kv_.head_dim, scaled.begin() + groups * KvLayer::kGroup, 0.0f);
  for (int row = 0; row < rows; ++row) {
    const float* from = query(spec, row);
    for (int d = 0; d < kv_.head_dim; ++d) scaled[static_cast<size_t>(d)] = from[d] * args_.scale;
    quantize_(scaled.data(), groups, {.groups = memory.data() + row, .rows = rows});
  }
  return memory.data();
}

// `q` is memory for f32 queries.
AttentionTile Attention::tile_of(const TileSpec& spec, float* q) const {
  const int64_t head_offset = spec.kv_head * kv_.head_bytes();
  AttentionTile tile{.rows = spec.rows(),
                     .group = spec.group,
                     .first = spec.row->start + spec.token,
                     .head_dim = kv_.head_dim,
                     .window = args_.window,
                     .chunk = args_.chunk,
                     .soft_cap = args_.soft_cap,
                     .k = kv_.k + head_offset,
                     .v = kv_.v + head_offset,
                     .head_bytes = kv_.head_bytes(),
                     .block_stride = kv_.block_bytes(),
                     .blocks = spec.row->blocks};
  if (kv_.type == KvType::kInt8) {
    tile.q8 = quantize_queries(spec);
  } else {
    load_queries(spec, q);
    tile.q = q;
  }
  return tile;
}

void Attention::finish_tile(const TileSpec& spec, const AttentionPart& total) const {
  for (int r = 0; r < spec.rows(); ++r) {
    const int head = spec.head + r % spec.group;
    const int64_t token = spec.row->row + spec.token + r / spec.group;
    const float* sink = args_.sinks == nullptr ? nullptr : args_.sinks + head;
    path_.finish(total, r, kv_.head_dim, sink,
                 args_.out + (token * args_.heads + head) * kv_.head_dim);
  }
}

void Attention::whole_tile(const TileSpec& spec) const {
  float* scores = scratch();
  float* q = scores + kQueryRowsMax * kKvSplit;
  const AttentionPart total = part_at(q + kQueryRowsMax * kv_.head_dim);
  const AttentionPart next = part_at(total.row_max + part_floats());
  const AttentionTile tile = tile_of(spec, q);
  split_(tile, spec.first_split, scores, total);
  for (int p = 1; p < spec.splits; ++p) {
    split_(tile, spec.first_split + p, scores, next);
    path_.combine(tile.rows, kv_.head_dim, next, total);
  }
  finish_tile(spec, total);
}

// Few tiles with long histories: splits run in parallel, then are combined in the same order as in
// whole_tile().
void Attention::run_splits() {
  size_t rows_most = 0;
  for (const TileSpec& spec : tiles_)
    rows_most = std::max(rows_most, static_cast<size_t>(spec.rows()));
  const size_t stride = rows_most * static_cast<size_t>(kv_.head_dim + 2);
  std::vector<float> memory(parts_ * stride);
  const auto part = [&](size_t index) {
    float* base = memory.data() + index * stride;
    return AttentionPart{base, base + rows_most, base + 2 * rows_most};
  };
  std::vector<const TileSpec*> owner;
  owner.reserve(parts_);
  for (const TileSpec& spec : tiles_)
    owner.insert(owner.end(), static_cast<size_t>(spec.splits), &spec);
  pool_.run(static_cast<int>(parts_), [&](int index, int) {
    const TileSpec& spec = *owner[static_cast<size_t>(index)];
    float* scores = scratch();
    float* q = scores + kQueryRowsMax * kKvSplit;
    const int p = index - static_cast<int>(spec.first_part);
    split_(tile_of(spec, q), spec.first_split + p, scores, part(static_cast<size_t>(index)));
  });
  for (const TileSpec& spec : tiles_) {
    const AttentionPart total = part(spec.first_part);
    for (int p = 1; p < spec.splits; ++p) {
      path_.combine(spec.rows(), kv_.head_dim, part(spec.first_part + static_cast<size_t>(p)),
                    total);
    }
    finish_tile(spec, total);
  }
}

}  // namespace

void paged_attention(const Kernels& path, const AttentionArgs& args, const KvLayer& kv,
                     ThreadPool& pool) {
  Attention(path, args, kv, pool).run();
}

void paged_attention(const AttentionArgs& args, const KvLayer& kv, ThreadPool& pool) {
  paged_attention(default_kernels(), args, kv, pool);
}

}  // namespace pippin::nn::cpu
