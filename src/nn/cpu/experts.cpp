#include "nn/cpu/experts.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "nn/cpu/gemm.h"

namespace pippin::nn::cpu {
namespace {

constexpr int64_t kFewValues = 16384;  // a few microseconds of work: not worth a dispatch

// Copies a row that lies alone to its place among others.
void copy_row(const ActRows& from, const ActRows& to, int64_t k) {
  const auto copy = [&](const auto* one, auto* among, int64_t columns) {
    if (one == nullptr) return;
    for (int64_t i = 0; i < k / columns; ++i) among[i * to.rows] = one[i];
  };
  copy(from.groups, to.groups, kGroup);
  copy(from.group_pairs, to.group_pairs, 2 * kGroup);
  copy(from.sub_blocks, to.sub_blocks, 2 * kGroup);
  copy(from.block_sums, to.block_sums, kGroup * kSuperGroups);
}

// The rows of one expert: neighbours among all rows.
struct Share {
  size_t expert;
  BlockSpan blocks;
};

// Tiles [first, last) of a share's weight by a chunk of its rows.
struct Task {
  size_t share;
  int64_t first, last;
  BlockSpan chunk;
};

class ExpertStep {
 public:
  ExpertStep(const ExpertLayer& layer, const ExpertRoutes& routes, LinearScratch& scratch,
             ThreadPool& pool, Activations activations)
      : layer_(layer),
        routes_(routes),
        scratch_(scratch.impl()),
        pool_(pool),
        activations_(activations),
        rows_(routes.tokens * routes.used),
        width_(layer.up.front().columns()),
        inner_(layer.down.front().columns()),
        outputs_(layer.down.front().rows()) {}

  void run(const float* x, float* y, const PackedLinear* next);

 private:
  using Weights = std::span<const PackedLinear>;
  bool is_small() const { return routes_.tokens <= kRowsFew; }

  void sort_rows();
  Quantisations quantisations(Weights weights) const;
  std::vector<Product> products(Weights weights, const float* bias, float* y) const;
  std::vector<Task> cut_tasks(Weights weights, int64_t step) const;
  void prefetch(Weights weights, const std::vector<Task>& tasks);
  const float* weighed(const float* x);
  void take_inputs(const float* x, std::vector<Product>& products);
  void quantise_inputs(ActQuantisation quantisation, const float* x, const ActRows& out);
  void lay_panels(const auto& row, int64_t k, float* out);
  bool is_fused(const Quantisations& taken) const;
  void take_between(const float* between, std::vector<Product>& products);
  void run_up(const std::vector<Product>& up, const std::vector<Task>& tasks, float* between);
  void add_up(const float* each, float* y);

  // Of x: a row for each token, or, weighed, for each token and expert.
  int64_t source_of(int64_t row) const {
    const int64_t entry = entries_[static_cast<size_t>(row)];
    return layer_.weigh_inputs ? entry : entry / routes_.used;
  }

  const ExpertLayer& layer_;
  const ExpertRoutes& routes_;
  LinearScratch::Impl& scratch_;
  ThreadPool& pool_;
  const Activations activations_;
  const int64_t rows_, width_, inner_, outputs_;

  std::vector<int64_t> entries_;  // of each row: token * used + rank
  std::vector<int64_t> row_of_;   // of each entry
  std::vector<RowBlock> blocks_;
  std::vector<size_t> block_of_;  // of each row
  std::vector<Share> shares_;     // of the experts that have rows
};

// By expert, then by token.
void ExpertStep::sort_rows() {
  std::vector<int64_t> next(layer_.up.size() + 1);
  for (int64_t i = 0; i < rows_; ++i) ++next[static_cast<size_t>(routes_.experts[i]) + 1];
  for (size_t e = 1; e < next.size(); ++e) next[e] += next[e - 1];
  const std::vector<int64_t> first = next;
  entries_.resize(static_cast<size_t>(rows_));
  row_of_.resize(entries_.size());
  for (int64_t i = 0; i < rows_; ++i) {
    const int64_t row = next[static_cast<size_t>(routes_.experts[i])]++;
    entries_[static_cast<size_t>(row)] = i;
    row_of_[static_cast<size_t>(i)] = row;
  }
  std::vector<size_t> ends;
  for (size_t e = 0; e < layer_.up.size(); ++e) {
    if (first[e] == first[e + 1]) continue;
    const auto takes = [&](int rows) {
      return takes_rows(layer_.up[e].impl(), activations_, rows) &&
             takes_rows(layer_.down[e].impl(), activations_, rows);
    };
    cut_rows(first[e], first[e + 1] - first[e], takes, blocks_);
    shares_.push_back({e, {}});
    ends.push_back(blocks_.size());
  }
  for (size_t s = 0, begin = 0; s < shares_.size(); begin = ends[s++])
    shares_[s].blocks = BlockSpan(blocks_).subspan(begin, ends[s] - begin);
  for (size_t b = 0; b < blocks_.size(); ++b)
    block_of_.insert(block_of_.end(), static_cast<size_t>(blocks_[b].rows), b);
}

Quantisations ExpertStep::quantisations(Weights weights) const {
  Quantisations all;
  for (const Share& share : shares_) {
    const Quantisations one = quantisations_of(weights[share.expert].impl(), activations_);
    for (int q = 0; q < kActQuantisations; ++q) all.quantised[q] |= one.quantised[q];
    all.floats |= one.floats;
  }
  return all;
}

// A product of each share, without activations yet. `y`: rows of all shares.
std::vector<Product> ExpertStep::products(Weights weights, const float* bias, float* y) const {
  std::vector<Product> out;
  out.reserve(shares_.size());
  for (const Share& share : shares_) {
    const PackedLinear::Impl& weight = weights[share.expert].impl();
    const float* own =
        bias == nullptr ? nullptr : bias + static_cast<int64_t>(share.expert) * weight.rows;
    out.push_back({weight, own, y, {}, nullptr, activations_ == Activations::kF32, share.blocks});
  }
  return out;
}

// Tasks of all shares, of about the same work each; whole `step`s of tiles.
std::vector<Task> ExpertStep::cut_tasks(Weights weights, int64_t step) const {
  const auto work = [](const PackedLinear::Impl& weight, BlockSpan chunk) {
    return static_cast<int64_t>(weight.runs.front().tile_step) *
           std::max<int64_t>(1, rows_of(chunk) / 4);
  };
  std::vector<Task> chunks;
  int64_t all = 0;
  for (size_t s = 0; s < shares_.size(); ++s) {
    const PackedLinear::Impl& weight = weights[shares_[s].expert].impl();
    for (BlockSpan left = shares_[s].blocks; !left.empty();) {
      chunks.push_back({s, 0, weight.n_tiles(), take_chunk(left)});
      all += weight.n_tiles() * work(weight, chunks.back().chunk);
    }
  }
  const int64_t target =
      std::max(static_cast<int64_t>(kTaskBytesMin), ceil_div(all, int64_t{32} * pool_.threads()));
  std::vector<Task> tasks;
  for (const Task& chunk : chunks) {
    const int64_t tile = work(weights[shares_[chunk.share].expert].impl(), chunk.chunk);
    const int64_t each = ceil_div(ceil_div(target, tile), step) * step;
    for (int64_t first = 0; first < chunk.last; first += each)
      tasks.push_back({chunk.share, first, std::min(chunk.last, first + each), chunk.chunk});
  }
  return tasks;
}

// Lets each thread prefetch where it will begin.
void ExpertStep::prefetch(Weights weights, const std::vector<Task>& tasks) {
  const auto threads = static_cast<size_t>(pool_.threads());
  for (size_t thread = 0; thread < threads; ++thread) {
    const size_t begin = tasks.size() * thread / threads;
    if (begin == tasks.size() * (thread + 1) / threads) continue;
    const Task& task = tasks[begin];
    const PackedLinear::Impl& weight = weights[shares_[task.share].expert].impl();
    each_run(weight, task.first, task.first + 1, [&](const TileRun& run, int64_t tile, int64_t) {
      const size_t bytes = static_cast<size_t>(weight.n_tiles() - task.first) * run.tile_step;
      pool_.prefetch(static_cast<int>(thread), weight.tile(run, tile).scales,
                     std::min(kPrefetchBytes, bytes));
    });
  }
}

// What experts take, times their weights: a row for each entry.
const float* ExpertStep::weighed(const float* x) {
  float* out = room_for(scratch_.between, rows_ * width_);
  for (int64_t i = 0; i < rows_; ++i) {
    const float* from = x + i / routes_.used * width_;
    for (int64_t c = 0; c < width_; ++c) out[i * width_ + c] = routes_.weights[i] * from[c];
  }
  return out;
}

// Each source is quantised once, then copied to the rows that take it.
void ExpertStep::quantise_inputs(ActQuantisation quantisation, const float* x, const ActRows& out) {
  const int64_t sources = layer_.weigh_inputs ? rows_ : routes_.tokens;
  const int64_t each = rows_ / sources;
  const LinearKernels::Quantize quantize =
      layer_.up.front().impl().kernels->linear.quantizer(quantisation);
  const ActRows alone =
      room_for(scratch_.tokens[static_cast<int>(quantisation)], quantisation, sources, width_);
  const auto one = [&](int64_t source) {
    const ActRows row = rows_from(alone, {source, 1}, width_);
    quantize(x + source * width_, width_ / kGroup, row);
    for (int64_t i = source * each; i < (source + 1) * each; ++i) {
      const int64_t to = row_of_[static_cast<size_t>(i)];
      const RowBlock& block = blocks_[block_of_[static_cast<size_t>(to)]];
      copy_row(row, rows_from(out, block, width_, to - block.first), width_);
    }
  };
  if (rows_ * width_ < 4 * kFewValues) {
    for (int64_t source = 0; source < sources; ++source) one(source);
  } else {
    pool_.run(static_cast<int>(sources), [&](int source, int) { one(source); });
  }
}

// Rows of f32 activations, as kernels take them. `row(i)`: where row i begins.
void ExpertStep::lay_panels(const auto& row, int64_t k, float* out) {
  pool_.run(static_cast<int>(blocks_.size()), [&](int task, int) {
    const RowBlock& block = blocks_[static_cast<size_t>(task)];
    interleave_rows(
        block.rows, k, [&](int r) { return row(block.first + r); }, out + block.first * k);
  });
}

void ExpertStep::take_inputs(const float* x, std::vector<Product>& products) {
  const Quantisations taken = quantisations(layer_.up);
  const float* sources = layer_.weigh_inputs ? weighed(x) : x;
  for (int q = 0; q < kActQuantisations; ++q) {
    if (!taken.quantised[q]) continue;
    const auto quantisation = static_cast<ActQuantisation>(q);
    const ActRows rows = room_for(scratch_.quantised[q], quantisation, rows_, width_);
    quantise_inputs(quantisation, sources, rows);
    for (Product& product : products) product.quantised[q] = rows;
  }
  if (!taken.floats) return;
  float* panels = room_for(scratch_.panels, rows_ * width_);
  lay_panels([&](int64_t row) { return sources + source_of(row) * width_; }, width_, panels);
  for (Product& product : products) product.panels = panels;
}

// What lies between the products, as the second ones' kernels take it.
void ExpertStep::take_between(const float* between, std::vector<Product>& products) {
  const Quantisations taken = quantisations(layer_.down);
  for (int q = 0; q < kActQuantisations; ++q) {
    if (!taken.quantised[q]) continue;
    const auto quantisation = static_cast<ActQuantisation>(q);
    const ActRows rows = room_for(scratch_.quantised[q], quantisation, rows_, inner_);
    const LinearKernels::Quantize quantize =
        layer_.down.front().impl().kernels->linear.quantizer(quantisation);
    const auto one = [&](int64_t row) {
      const RowBlock& block = blocks_[block_of_[static_cast<size_t>(row)]];
      quantize(between + row * inner_, inner_ / kGroup,
               rows_from(rows, block, inner_, row - block.first));
    };
    if (rows_ * inner_ < kFewValues) {
      for (int64_t row = 0; row < rows_; ++row) one(row);
    } else {
      pool_.run(static_cast<int>(rows_), [&](int row, int) { one(row); });
    }
    for (Product& product : products) product.quantised[q] = rows;
  }
  if (!taken.floats) return;
  float* panels = room_for(scratch_.panels, rows_ * inner_);
  lay_panels([&](int64_t row) { return between + row * inner_; }, inner_, panels);
  for (Product& product : products) product.panels = panels;
}

// Whether what lies between is quantised while it is in the cache.
bool ExpertStep::is_fused(const Quantisations& taken) const {
  return layer_.gated && !taken.floats && taken.count() == 1 && rows_ >= kFusedRowsMin &&
         ceil_div(inner_, kFusedPairs * kTileRows) * static_cast<int64_t>(shares_.size()) >=
             kFusedBlocksPerThread * pool_.threads();
}

void ExpertStep::run_up(const std::vector<Product>& up, const std::vector<Task>& tasks,
                        float* between) {
  const std::vector<float> ones(layer_.gated ? 0 : static_cast<size_t>(inner_), 1.0f);
  const GateFunction activation =
      gate_function(layer_.up.front().impl().kernels->norm_rope, layer_.gate);
  pool_.run(static_cast<int>(tasks.size()), [&](int index, int) {
    const Task& task = tasks[static_cast<size_t>(index)];
    float* out = between + task.chunk.front().first * inner_ + task.first * kTileRows;
    if (layer_.gated) {
      up[task.share].gated(layer_.gate, task.first, task.last, task.chunk, {out, inner_});
      return;
    }
    up[task.share].tiles(task.first, task.last, task.chunk);
    const int64_t count = std::min(inner_, task.last * kTileRows) - task.first * kTileRows;
    for (int64_t row = rows_of(task.chunk); row > 0; --row, out += inner_)
      activation(out, ones.data(), count, out);
  });
}

// Adds up what a token's experts give, in the order of their ranks.
void ExpertStep::add_up(const float* each, float* y) {
  const auto one = [&](int64_t token) {
    float* to = y + token * outputs_;
    std::fill_n(to, outputs_, 0.0f);
    for (int64_t i = token * routes_.used; i < (token + 1) * routes_.used; ++i) {
      const float* from = each + row_of_[static_cast<size_t>(i)] * outputs_;
      const float factor = layer_.weigh_inputs ? 1.0f : routes_.weights[i];
      for (int64_t c = 0; c < outputs_; ++c) to[c] += factor * from[c];
    }
  };
  if (rows_ * outputs_ < 4 * kFewValues) {
    for (int64_t token = 0; token < routes_.tokens; ++token) one(token);
  } else {
    pool_.run(static_cast<int>(routes_.tokens), [&](int token, int) { one(token); });
  }
}

void ExpertStep::run(const float* x, float* y, const PackedLinear* next) {
  sort_rows();
  const Quantisations taken = quantisations(layer_.down);
  const bool fused = is_fused(taken);
  const std::vector<Task> up_tasks = cut_tasks(layer_.up, fused ? kFusedPairs : 1),
                          down_tasks = cut_tasks(layer_.down, 1);
  if (is_small()) prefetch(layer_.up, up_tasks);
  std::vector<Product> up = products(layer_.up, layer_.up_bias, nullptr);
  take_inputs(x, up);
  float* between = nullptr;
  if (!fused) between = room_for(scratch_.between, rows_ * inner_);
  if (!layer_.gated)
    for (Product& product : up) product.y = between;
  float* each = room_for(scratch_.outputs, rows_ * outputs_);
  std::vector<Product> down = products(layer_.down, layer_.down_bias, each);
  if (is_small()) prefetch(layer_.down, down_tasks);
  if (fused) {
    const ActQuantisation quantisation =
        layer_.down[shares_.front().expert].impl().runs.front().format.activations();
    const ActRows rows = room_for(scratch_.gated, quantisation, rows_, inner_);
    const LinearKernels::Quantize quantize =
        layer_.down.front().impl().kernels->linear.quantizer(quantisation);
    pool_.run(static_cast<int>(up_tasks.size()), [&](int index, int) {
      const Task& task = up_tasks[static_cast<size_t>(index)];
      up[task.share].gated(layer_.gate, task.first, task.last, task.chunk, quantize, rows);
    });
    for (Product& product : down) product.quantised[static_cast<int>(quantisation)] = rows;
  } else {
    run_up(up, up_tasks, between);
    take_between(between, down);
  }
  if (next != nullptr && is_small()) prefetch_next(next->impl(), routes_.tokens, pool_);
  pool_.run(static_cast<int>(down_tasks.size()), [&](int index, int) {
    const Task& task = down_tasks[static_cast<size_t>(index)];
    down[task.share].tiles(task.first, task.last, task.chunk);
  });
  add_up(each, y);
}

}  // namespace

void experts(const ExpertLayer& layer, const ExpertRoutes& routes, const float* x, float* y,
             LinearScratch& scratch, ThreadPool& pool, Activations activations,
             const PackedLinear* next) {
  CHECK(!layer.up.empty() && layer.up.size() == layer.down.size(), "weights of one layer");
  CHECK(layer.up.front().rows() == layer.down.front().columns() * (layer.gated ? 2 : 1),
        "weights of one layer");
  if (routes.tokens <= 0) return;
  ExpertStep(layer, routes, scratch, pool, activations).run(x, y, next);
}

}  // namespace pippin::nn::cpu
