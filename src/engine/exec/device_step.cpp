#include "engine/exec/device_step.h"

#include <algorithm>
#include <bit>
#include <optional>

#include "mlx/ops.h"

namespace pippin::engine {
namespace {

namespace mx = mlx::core;

constexpr int kBlock = nn::cpu::KvLayer::kBlock;
// A table is at least this wide, and then a power of two: few shapes.
constexpr int kTableMin = 16;

// Lists of integers that go to the device together.
class Parcel {
 public:
  struct Slip {
    int first = 0, count = 0;
  };

  Slip add(const std::vector<int32_t>& values) {
    const Slip slip{static_cast<int>(all_.size()), static_cast<int>(values.size())};
    all_.insert(all_.end(), values.begin(), values.end());
    return slip;
  }
  void send(nn::cuda::Transfer& transfer) { sent_ = transfer.to_device(all_); }
  mx::array take(Slip slip) const {
    return mx::slice(*sent_, {slip.first}, {slip.first + slip.count});
  }

 private:
  std::vector<int32_t> all_;
  std::optional<mx::array> sent_;
};

// Where one group keeps a step, in a parcel.
struct PlaceSlips {
  Parcel::Slip slots, tables;
  int width = 0;  // of a table
};

// Adds a group's slots, padded to `tokens`, and its tables.
PlaceSlips add_places(Parcel& parcel, nn::StepKv& kv, int tokens, int scratch_block) {
  PlaceSlips slips;
  slips.width = kTableMin;
  const auto blocks_of = [](const nn::cpu::AttentionRow& row) {
    return (row.start + row.tokens + kBlock - 1) / kBlock;
  };
  for (const nn::cpu::AttentionRow& row : kv.rows)
    slips.width = std::max(slips.width, blocks_of(row));
  slips.width = static_cast<int>(std::bit_ceil(static_cast<unsigned>(slips.width)));
  // One more table, for the padding.
  std::vector<int32_t> tables((kv.rows.size() + 1) * static_cast<size_t>(slips.width),
                              scratch_block);
  auto table = tables.begin();
  for (const nn::cpu::AttentionRow& row : kv.rows) {
    std::copy_n(row.blocks, blocks_of(row), table);
    table += slips.width;
  }
  kv.slots.resize(static_cast<size_t>(tokens), scratch_block * kBlock);
  slips.slots = parcel.add(kv.slots);
  slips.tables = parcel.add(tables);
  return slips;
}

}  // namespace

int bucket(int n) {
  if (n <= 8) return static_cast<int>(std::bit_ceil(static_cast<unsigned>(n)));
  // Eighths of the next power of two: at most an eighth of padding.
  const int step = std::max(8, static_cast<int>(std::bit_ceil(static_cast<unsigned>(n))) / 8);
  return (n + step - 1) / step * step;
}

void send_to_device(nn::StepBatch& batch, const KvPlan& plan, nn::cuda::Transfer& transfer) {
  std::vector<int32_t> token_row;
  const int rows = static_cast<int>(batch.kv.front().rows.size());
  for (int r = 0; r < rows; ++r) {
    const int count = batch.kv.front().rows[static_cast<size_t>(r)].tokens;
    token_row.insert(token_row.end(), static_cast<size_t>(count), r);
  }
  const int tokens = bucket(static_cast<int>(batch.tokens.size()));
  batch.tokens.resize(static_cast<size_t>(tokens), 0);
  batch.positions.resize(static_cast<size_t>(tokens), 0);
  token_row.resize(static_cast<size_t>(tokens), rows);
  // Padded by themselves, so that logits of all tokens are wanted as such.
  if (!batch.logit_tokens.empty()) {
    for (int i = static_cast<int>(batch.logit_tokens.size()); i < bucket(i); ++i)
      batch.logit_tokens.push_back(std::min(i, tokens - 1));
  }
  // In one piece: what costs is that the device comes for it, not how much it is.
  Parcel parcel;
  const auto ids = parcel.add(batch.tokens), positions = parcel.add(batch.positions),
             of_row = parcel.add(token_row);
  std::vector<PlaceSlips> slips;
  for (size_t g = 0; g < batch.kv.size(); ++g)
    slips.push_back(add_places(parcel, batch.kv[g], tokens, plan.groups[g].blocks - 1));
  parcel.send(transfer);
  batch.token_ids = parcel.take(ids);
  const mx::array at = parcel.take(positions), row = parcel.take(of_row);
  for (size_t g = 0; g < batch.kv.size(); ++g) {
    const mx::array tables = mx::reshape(parcel.take(slips[g].tables), {rows + 1, slips[g].width});
    batch.kv[g].device = nn::cuda::StepArrays{at, parcel.take(slips[g].slots), row, tables};
  }
}

bool is_plain_greedy(const Submission& submission) {
  const SamplingParams& p = submission.sampling;
  const bool edits = p.repetition_penalty != 1.0f || p.presence_penalty != 0.0f ||
                     p.frequency_penalty != 0.0f || p.dry_multiplier != 0.0f ||
                     !p.logit_bias.empty() || !p.allowed_tokens.empty() ||
                     !p.banned_tokens.empty() || submission.stop.min_tokens > 0;
  return p.temperature == 0.0f && !edits && p.logprobs < 0 && p.prompt_logprobs < 0 &&
         submission.constraint == nullptr && submission.drafter == nullptr;
}

}  // namespace pippin::engine
