#include "nn/cuda/step.h"

#include <algorithm>
#include <bit>
#include <optional>

#include "mlx/ops.h"
#include "nn/cuda/cuda_backend.h"

namespace pippin::nn::cuda {
namespace {

constexpr int kBlock = kBlockPositions;
// A table is at least this wide, and then a power of two: few shapes.
constexpr int kTableMin = 16;

// Lists of integers that go to the device together.
class Staging {
 public:
  struct Slice {
    int first = 0, count = 0;
  };

  Slice add(const std::vector<int32_t>& values) {
    const Slice slice{static_cast<int>(all_.size()), static_cast<int>(values.size())};
    all_.insert(all_.end(), values.begin(), values.end());
    return slice;
  }
  void send(Transfer& transfer) { sent_ = transfer.to_device(all_); }
  mx::array take(Slice slice) const {
    return mx::slice(*sent_, {slice.first}, {slice.first + slice.count});
  }

 private:
  std::vector<int32_t> all_;
  std::optional<mx::array> sent_;
};

// Where the staged lists have what one group needs of a step.
struct PlaceSlices {
  Staging::Slice slots, tables;
  int width = 0;  // of a table
};

// Adds a group's slots, padded to `tokens`, and its tables.
PlaceSlices add_places(Staging& staging, AttentionMetadata& kv, int tokens, int scratch_block) {
  PlaceSlices slices;
  slices.width = kTableMin;
  const auto blocks_of = [](const AttentionRow& row) {
    return (row.start + row.tokens + kBlock - 1) / kBlock;
  };
  for (const AttentionRow& row : kv.rows) slices.width = std::max(slices.width, blocks_of(row));
  slices.width = static_cast<int>(std::bit_ceil(static_cast<unsigned>(slices.width)));
  // One more table, for the padding.
  std::vector<int32_t> tables((kv.rows.size() + 1) * static_cast<size_t>(slices.width),
                              scratch_block);
  auto table = tables.begin();
  for (const AttentionRow& row : kv.rows) {
    std::copy_n(row.blocks, blocks_of(row), table);
    table += slices.width;
  }
  kv.slots.resize(static_cast<size_t>(tokens), scratch_block * kBlock);
  slices.slots = staging.add(kv.slots);
  slices.tables = staging.add(tables);
  return slices;
}

}  // namespace

int bucket(int n) {
  if (n <= 8) return static_cast<int>(std::bit_ceil(static_cast<unsigned>(n)));
  // Eighths of the next power of two: at most an eighth of padding.
  const int step = std::max(8, static_cast<int>(std::bit_ceil(static_cast<unsigned>(n))) / 8);
  return (n + step - 1) / step * step;
}

void send_to_device(StepBatch& batch, const KvPlan& plan, Transfer& transfer) {
  std::vector<int32_t> token_row;
  const int rows = static_cast<int>(batch.kv.front().rows.size());
  for (int r = 0; r < rows; ++r) {
    const int count = batch.kv.front().rows[static_cast<size_t>(r)].tokens;
    token_row.insert(token_row.end(), static_cast<size_t>(count), r);
  }
  const int tokens = bucket(static_cast<int>(batch.tokens.size()));
  batch.tokens.resize(static_cast<size_t>(tokens), 0);
  batch.positions.resize(static_cast<size_t>(tokens * batch.position_components), 0);
  token_row.resize(static_cast<size_t>(tokens), rows);
  // Padded by themselves, so that logits of all tokens are wanted as such.
  if (!batch.logit_tokens.empty()) {
    for (int i = static_cast<int>(batch.logit_tokens.size()); i < bucket(i); ++i)
      batch.logit_tokens.push_back(std::min(i, tokens - 1));
  }
  // All lists in one transfer: the number of transfers costs, not their size.
  Staging staging;
  const auto ids = staging.add(batch.tokens), positions = staging.add(batch.positions),
             of_row = staging.add(token_row);
  std::vector<PlaceSlices> slices;
  for (size_t g = 0; g < batch.kv.size(); ++g) {
    // Recurrent layers take their states by the rows.
    slices.push_back(plan.groups[g].kind == KvKind::kState
                         ? PlaceSlices{}
                         : add_places(staging, batch.kv[g], tokens, plan.groups[g].blocks - 1));
  }
  staging.send(transfer);
  batch.token_ids = staging.take(ids);
  const mx::array at = staging.take(positions), row = staging.take(of_row);
  for (size_t g = 0; g < batch.kv.size(); ++g) {
    if (plan.groups[g].kind == KvKind::kState) continue;
    const mx::array tables =
        mx::reshape(staging.take(slices[g].tables), {rows + 1, slices[g].width});
    batch.kv[g].device =
        std::make_shared<CudaTables>(StepArrays{at, staging.take(slices[g].slots), row, tables});
  }
}

}  // namespace pippin::nn::cuda
