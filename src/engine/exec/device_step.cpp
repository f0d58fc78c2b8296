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

}  // namespace

int bucket(int n) {
  if (n <= 8) return static_cast<int>(std::bit_ceil(static_cast<unsigned>(n)));
  // Eighths of the next power of two: at most an eighth of padding.
  const int step = std::max(8, static_cast<int>(std::bit_ceil(static_cast<unsigned>(n))) / 8);
  return (n + step - 1) / step * step;
}

void send_to_device(nn::StepBatch& batch, int scratch_block, nn::cuda::Transfer& transfer) {
  const int rows = static_cast<int>(batch.rows.size());
  std::vector<int32_t> token_row;
  int table_width = kTableMin;
  for (int r = 0; r < rows; ++r) {
    const nn::cpu::AttentionRow& row = batch.rows[static_cast<size_t>(r)];
    token_row.insert(token_row.end(), static_cast<size_t>(row.tokens), r);
    table_width = std::max(table_width, (row.start + row.tokens + kBlock - 1) / kBlock);
  }
  table_width = static_cast<int>(std::bit_ceil(static_cast<unsigned>(table_width)));
  // One more table, for the padding.
  std::vector<int32_t> tables(static_cast<size_t>((rows + 1) * table_width), scratch_block);
  for (int r = 0; r < rows; ++r) {
    const nn::cpu::AttentionRow& row = batch.rows[static_cast<size_t>(r)];
    std::copy_n(row.blocks, (row.start + row.tokens + kBlock - 1) / kBlock,
                tables.begin() + static_cast<ptrdiff_t>(r) * table_width);
  }
  const int tokens = bucket(static_cast<int>(batch.tokens.size()));
  batch.tokens.resize(static_cast<size_t>(tokens), 0);
  batch.positions.resize(static_cast<size_t>(tokens), 0);
  batch.slots.resize(static_cast<size_t>(tokens), scratch_block * kBlock);
  token_row.resize(static_cast<size_t>(tokens), rows);
  // Padded by themselves, so that logits of all tokens are wanted as such.
  if (!batch.logit_tokens.empty()) {
    for (int i = static_cast<int>(batch.logit_tokens.size()); i < bucket(i); ++i)
      batch.logit_tokens.push_back(std::min(i, tokens - 1));
  }
  // In one piece: what costs is that the device comes for it, not how much it is.
  Parcel parcel;
  const auto ids = parcel.add(batch.tokens), positions = parcel.add(batch.positions),
             slots = parcel.add(batch.slots), of_row = parcel.add(token_row),
             table = parcel.add(tables);
  parcel.send(transfer);
  batch.token_ids = parcel.take(ids);
  batch.device =
      nn::cuda::StepArrays{parcel.take(positions), parcel.take(slots), parcel.take(of_row),
                           mx::reshape(parcel.take(table), {rows + 1, table_width})};
}

bool is_plain_greedy(const Submission& submission) {
  const SamplingParams& p = submission.sampling;
  const bool edits = p.repetition_penalty != 1.0f || p.presence_penalty != 0.0f ||
                     p.frequency_penalty != 0.0f || p.dry_multiplier != 0.0f ||
                     !p.logit_bias.empty() || !p.allowed_tokens.empty() ||
                     !p.banned_tokens.empty() || submission.stop.min_tokens > 0;
  return p.temperature == 0.0f && !edits && p.logprobs < 0 && p.prompt_logprobs < 0 &&
         submission.constraint == nullptr;
}

}  // namespace pippin::engine
