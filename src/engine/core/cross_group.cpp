#include "engine/core/cross_group.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "base/check.h"

namespace pippin::engine {

CrossGroup::CrossGroup(const KvGroupPlan& plan, const KvLimits& limits, int index)
    : KvGroup(plan, limits, index), hashes_(static_cast<size_t>(plan.blocks)) {
  pool_.set_on_reuse([this](BlockId block) { forget(block); });
}

void CrossGroup::forget(BlockId block) {
  std::string& hash = hashes_[static_cast<size_t>(block)];
  if (!hash.empty()) inputs_.erase(hash);
  hash.clear();
}

bool CrossGroup::fits(const Sequence& sequence, const GroupMatch& /*match*/, int /*positions*/,
                      std::span<Sequence* const> /*active*/) const {
  return inputs_.contains(sequence.submission.encoded->hash) || pool_.available() >= 1;
}

void CrossGroup::admit(Sequence& sequence, GroupMatch& /*match*/, int /*positions*/, StepPlan& plan,
                       std::vector<BlockLease>& /*held*/) {
  const std::string& hash = sequence.submission.encoded->hash;
  if (const auto known = inputs_.find(hash); known != inputs_.end()) {
    table(sequence).blocks.push_back(pool_.lease(known->second));
    return;
  }
  std::optional<BlockLease> block = pool_.acquire();
  CHECK(block, "the pool was asked before");
  // It is encoded before any row of this step runs, so that others may share it from now on.
  plan.encodes.push_back({sequence.id, index_, block->id()});
  inputs_.emplace(hash, block->id());
  hashes_[static_cast<size_t>(block->id())] = hash;
  pool_.set_findable(block->id(), true);
  table(sequence).blocks.push_back(*std::move(block));
}

void CrossGroup::plan_row(Sequence& sequence, int /*start*/, int /*end*/, BlockTable& ids,
                          StepPlan& /*plan*/) {
  ids.assign(1, table(sequence).blocks.front().id());
}

void CrossGroup::leave(Sequence& sequence, Leaving how) {
  if (how != Leaving::kFailed) return;
  // It may be the encoder that failed: the next sequence encodes its input again.
  const BlockId block = table(sequence).blocks.front().id();
  forget(block);
  pool_.set_findable(block, false);
}

Result<void> CrossGroup::check_integrity() const {
  RETURN_IF_ERROR(pool_.check_integrity());
  for (const auto& [hash, block] : inputs_) {
    if (hashes_[static_cast<size_t>(block)] != hash)
      return fail(Code::kInternal, fmt::format("[kv] input block {} has another hash", block));
  }
  return {};
}

Result<void> CrossGroup::check_table(const Sequence& sequence) const {
  const KvTable& own = table(sequence);
  if (own.size() != 1 || own.blocks.front().id() < 0)
    return broken(sequence, fmt::format("holds {} inputs", own.size()));
  return {};
}

}  // namespace pippin::engine
