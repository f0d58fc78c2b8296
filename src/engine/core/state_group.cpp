#include "engine/core/state_group.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"

namespace pippin::engine {

StateGroup::StateGroup(const KvGroupPlan& plan, const KvLimits& limits, int index)
    : KvGroup(plan, limits, index), cache_(pool_, limits.block_positions) {
  CHECK(plan.blocks >= kBlocksMin);
  CHECK(plan.checkpoint_positions % limits.block_positions == 0);
}

/// Returns the state that is deepest in a block, up to position `end`, and the positions of the
/// block that it covers.
std::pair<BlockId, int> StateGroup::deepest(const PromptKey& prompt, int block, int end) const {
  const int start = block * limits_.block_positions;
  const int rest = std::min(end - start, limits_.block_positions);
  const auto i = static_cast<size_t>(block);
  if (rest == limits_.block_positions && i + 1 < prompt.hashes.size()) {
    // A block with media, or with positions that jump, is found by its hash alone.
    const BlockId whole = cache_.find(prompt.hashes[i + 1]);
    if (whole != PrefixCache::kNone) return {whole, rest};
  }
  return cache_.longest_whole_child(
      prompt.hashes[i],
      prompt.tokens.subspan(static_cast<size_t>(start), static_cast<size_t>(rest)));
}

int StateGroup::longest(const PromptKey& prompt, int at_most) const {
  if (at_most <= 0) return 0;
  for (int block = place_of(at_most).block; block >= 0; --block) {
    const int filled = deepest(prompt, block, at_most).second;
    if (filled > 0) return block * limits_.block_positions + filled;
  }
  return 0;
}

KnownPrefix StateGroup::known(const PromptKey& prompt) const {
  const int positions = longest(prompt, static_cast<int>(prompt.tokens.size()));
  return {positions, positions > 0 ? PrefixMiss::kNoState : PrefixMiss::kNew};
}

void StateGroup::lease(const PromptKey& prompt, int positions, GroupMatch& match) {
  if (positions == 0) return;
  const Place place = place_of(positions);
  const auto [block, filled] = deepest(prompt, place.block, positions);
  CHECK(filled == place.filled, "what was found is still there");
  match.source = pool_.lease(block);
}

bool StateGroup::fits(const Sequence& /*sequence*/, const GroupMatch& /*match*/, int /*positions*/,
                      std::span<Sequence* const> /*active*/) const {
  return pool_.available() >= 1;
}

void StateGroup::admit(Sequence& sequence, GroupMatch& match, int /*positions*/, StepPlan& plan,
                       std::vector<BlockLease>& held) {
  std::optional<BlockLease> state = pool_.acquire();
  CHECK(state, "the pool was asked before");
  if (match.source.id() >= 0) {
    plan.copies.push_back({index_, match.source.id(), state->id(), 0});
    held.push_back(std::move(match.source));
  }
  table(sequence).blocks.push_back(*std::move(state));
}

int StateGroup::chunk_end(const Sequence& sequence, int end) const {
  const int each = plan_.checkpoint_positions;
  if (each == 0 || !limits_.prefix_cache) return end;
  return std::min(end, (sequence.computed / each + 1) * each);
}

bool StateGroup::prepare_drafts(Sequence& sequence) {
  std::optional<BlockLease> spare = pool_.acquire();
  if (!spare) return false;
  table(sequence).spare = *std::move(spare);
  return true;
}

bool StateGroup::has(const Sequence& sequence, int position) const {
  const Place place = place_of(position);
  const PromptKey key{sequence.hashes, sequence.identity()};
  return deepest(key, place.block, position).second == place.filled;
}

void StateGroup::keep(const Sequence& sequence, BlockId block, int position) {
  const Place place = place_of(position);
  const auto i = static_cast<size_t>(place.block);
  const auto tokens = sequence.identity().subspan(i * static_cast<size_t>(limits_.block_positions),
                                                  static_cast<size_t>(place.filled));
  const bool full = place.filled == limits_.block_positions;
  cache_.record(block, sequence.hashes[i], tokens, full ? &sequence.hashes[i + 1] : nullptr);
}

void StateGroup::plan_row(Sequence& sequence, int start, int /*end*/, BlockTable& ids,
                          StepPlan& plan) {
  KvTable& own = table(sequence);
  const BlockId state = own.blocks.front().id();
  ids.assign(1, state);
  if (own.spare.id() >= 0) plan.copies.push_back({index_, state, own.spare.id(), 0});
  const int each = plan_.checkpoint_positions;
  const bool due = limits_.prefix_cache && each > 0 && start > 0 && start % each == 0;
  if (!due || own.checkpoint.id() >= 0 || has(sequence, start)) return;
  std::optional<BlockLease> block = pool_.acquire();
  if (!block) return;
  own.checkpoint = *std::move(block);
  own.checkpoint_at = start;
  plan.copies.push_back({index_, state, own.checkpoint.id(), 0});
}

void StateGroup::commit(Sequence& sequence, bool all_true) {
  KvTable& own = table(sequence);
  // A step that waits behind this one may have planned the copy: it is not done yet.
  if (own.checkpoint.id() >= 0 && own.checkpoint_at < sequence.computed) {
    if (!has(sequence, own.checkpoint_at)) keep(sequence, own.checkpoint.id(), own.checkpoint_at);
    own.checkpoint = BlockLease();
  }
  if (own.spare.id() < 0) return;
  if (!all_true) std::swap(own.blocks.front(), own.spare);
  own.spare = BlockLease();
}

void StateGroup::leave(Sequence& sequence, Leaving how) {
  if (how != Leaving::kSound || !limits_.prefix_cache || sequence.computed == 0) return;
  if (has(sequence, sequence.computed)) return;
  keep(sequence, table(sequence).blocks.front().id(), sequence.computed);
}

Result<void> StateGroup::check_integrity() const {
  RETURN_IF_ERROR(pool_.check_integrity());
  return cache_.check_integrity();
}

Result<void> StateGroup::check_table(const Sequence& sequence) const {
  const KvTable& own = table(sequence);
  if (own.size() != 1 || own.blocks.front().id() < 0)
    return broken(sequence, fmt::format("holds {} states", own.size()));
  return {};
}

}  // namespace pippin::engine
