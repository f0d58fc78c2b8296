#include "engine/core/attention_group.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"

namespace pippin::engine {
namespace {

constexpr int kHeadroomShare = 8;  // at most this part of the pool is kept back for rows that grow

}  // namespace

AttentionGroup::AttentionGroup(const KvGroupPlan& plan, const KvLimits& limits, int index)
    : KvGroup(plan, limits, index),
      sight_{plan.kind, plan.window, limits.block_positions},
      step_blocks_(limits.blocks_for(limits.step_tokens_max)),
      cache_(pool_, limits.block_positions) {
  CHECK(plan.blocks >= sight_.blocks_min(limits.step_tokens_max));
}

/// Returns the most full blocks within `at_most` positions behind which all that is seen is cached.
int AttentionGroup::full_blocks(const PromptKey& prompt, int at_most) const {
  const auto has = [&](int block) {
    return cache_.contains(prompt.hashes[static_cast<size_t>(block) + 1]);
  };
  const int blocks_max = at_most / limits_.block_positions;
  if (sees_all()) {
    int full = 0;
    while (full < blocks_max && has(full)) ++full;
    return full;
  }
  int full = blocks_max;
  for (int block = full - 1; block >= sight_.first_block(full * limits_.block_positions); --block)
    if (!has(block)) full = block;
  return full;
}

/// Returns the block that goes on behind `full` blocks like the prompt, and how far, within
/// `at_most` positions.
std::pair<BlockId, int> AttentionGroup::next_block(const PromptKey& prompt, int full,
                                                   int at_most) const {
  const int start = full * limits_.block_positions;
  const int rest = std::min(at_most - start, limits_.block_positions);
  if (rest <= 0) return {PrefixCache::kNone, 0};
  const size_t next = static_cast<size_t>(full) + 1;
  if (next < prompt.hashes.size()) {
    const BlockId whole = cache_.find(prompt.hashes[next]);
    if (whole != PrefixCache::kNone) return {whole, rest};
  }
  return cache_.closest_child(
      prompt.hashes[next - 1],
      prompt.tokens.subspan(static_cast<size_t>(start), static_cast<size_t>(rest)));
}

int AttentionGroup::longest(const PromptKey& prompt, int at_most) const {
  const int full = full_blocks(prompt, at_most);
  const int positions = next_block(prompt, full, at_most).second;
  return full * limits_.block_positions + (positions >= limits_.copy_positions_min ? positions : 0);
}

KnownPrefix AttentionGroup::known(const PromptKey& prompt) const {
  const int length = static_cast<int>(prompt.tokens.size());
  const int full = full_blocks(prompt, length);
  const auto [closest, agreed] = next_block(prompt, full, length);
  const size_t next = static_cast<size_t>(full) + 1;
  const int positions = full * limits_.block_positions + agreed;
  if (positions >= length) return {positions, PrefixMiss::kNone};
  if (next < prompt.hashes.size() && cache_.was_evicted(prompt.hashes[next]))
    return {positions, PrefixMiss::kEvicted};
  if (closest != PrefixCache::kNone) {
    return {positions,
            agreed == cache_.filled(closest) ? PrefixMiss::kContinues : PrefixMiss::kDiffers};
  }
  if (cache_.has_children(prompt.hashes[next - 1])) return {positions, PrefixMiss::kDiffers};
  return {positions, full > 0 ? PrefixMiss::kContinues : PrefixMiss::kNew};
}

void AttentionGroup::lease(const PromptKey& prompt, int positions, GroupMatch& match) {
  const int full = positions / limits_.block_positions;
  KvTable& table = match.table;
  table.first = sight_.first_block(positions);
  table.blocks.resize(static_cast<size_t>(table.first));
  for (int block = table.first; block < full; ++block)
    table.blocks.push_back(pool_.lease(cache_.find(prompt.hashes[static_cast<size_t>(block) + 1])));
  const int partial = positions % limits_.block_positions;
  if (partial == 0) return;
  const auto [block, agreed] = next_block(prompt, full, positions);
  CHECK(agreed == partial, "what was found is still there");
  match.source = pool_.lease(block);
}

/// Returns the blocks that a sequence has to find, with `computed` of `length` tokens cached.
int AttentionGroup::wanted(int computed, int length) const {
  return std::min(limits_.blocks_for(length) - sight_.first_block(computed), sight_.blocks_over(1));
}

bool AttentionGroup::fits(const Sequence& sequence, const GroupMatch& match, int positions,
                          std::span<Sequence* const> active) const {
  if (sees_all()) {
    // The rows at work will soon need a block each.
    const int headroom = std::min(static_cast<int>(active.size()), pool_.total() / kHeadroomShare);
    return limits_.blocks_for(sequence.length()) - match.table.held() + headroom <=
           pool_.available();
  }
  int needed = wanted(positions, sequence.length()) - match.table.held();
  for (const Sequence* other : active) {
    const int others = wanted(other->computed, other->length()) - table(*other).held();
    needed += std::max(0, others);
  }
  return needed + step_blocks_ <= pool_.available();
}

void AttentionGroup::admit(Sequence& sequence, GroupMatch& match, int positions, StepPlan& plan,
                           std::vector<BlockLease>& held) {
  KvTable& own = table(sequence);
  own = std::move(match.table);
  if (match.source.id() >= 0) {
    std::optional<BlockLease> block = pool_.acquire();
    CHECK(block, "the pool was asked before");
    plan.copies.push_back(
        {index_, match.source.id(), block->id(), positions % limits_.block_positions});
    own.blocks.push_back(*std::move(block));
    held.push_back(std::move(match.source));
  }
  const bool covered = cover(sequence, positions + 1);
  CHECK(covered, "the pool was asked before");
}

int AttentionGroup::blocks_to_cover(const Sequence& sequence, int end) const {
  return limits_.blocks_for(sees_all() ? std::max(end, sequence.length()) : end);
}

int AttentionGroup::missing(const Sequence& sequence, int end) const {
  return std::max(0, blocks_to_cover(sequence, end) - table(sequence).size());
}

bool AttentionGroup::cover(Sequence& sequence, int end) {
  KvTable& own = table(sequence);
  for (const int blocks = blocks_to_cover(sequence, end); own.size() < blocks;) {
    std::optional<BlockLease> lease = pool_.acquire();
    if (!lease) return false;
    own.blocks.push_back(*std::move(lease));
  }
  return true;
}

int AttentionGroup::reach(const Sequence& sequence) const {
  if (sees_all()) return KvGroup::reach(sequence);
  return (table(sequence).size() + pool_.available()) * limits_.block_positions;
}

void AttentionGroup::plan_row(Sequence& sequence, int /*start*/, int end, BlockTable& ids,
                              StepPlan& /*plan*/) {
  const KvTable& own = table(sequence);
  const int blocks = limits_.blocks_for(end);
  CHECK(blocks <= own.size(), "what is planned is covered");
  ids.assign(static_cast<size_t>(blocks), -1);
  for (size_t i = static_cast<size_t>(own.first); i < ids.size(); ++i) ids[i] = own.blocks[i].id();
}

void AttentionGroup::release_unseen(KvTable& table, int computed) const {
  for (const int seen = sight_.first_block(computed); table.first < seen; ++table.first)
    table.blocks[static_cast<size_t>(table.first)] = BlockLease();
}

void AttentionGroup::commit(Sequence& sequence, bool /*all_true*/) {
  release_unseen(table(sequence), sequence.computed);
}

void AttentionGroup::record(Sequence& sequence, int block, std::span<const Token> tokens,
                            const BlockHash* hash) {
  const auto i = static_cast<size_t>(block);
  cache_.record(table(sequence).blocks[i].id(), sequence.hashes[i], tokens, hash);
}

Result<void> AttentionGroup::check_integrity() const {
  RETURN_IF_ERROR(pool_.check_integrity());
  return cache_.check_integrity();
}

Result<void> AttentionGroup::check_table(const Sequence& sequence) const {
  const KvTable& own = table(sequence);
  if (own.first != sight_.first_block(sequence.computed))
    return broken(sequence, fmt::format("begins at block {}", own.first));
  if (own.size() < limits_.blocks_for(sequence.computed))
    return broken(sequence, fmt::format("has {} blocks", own.size()));
  for (int i = 0; i < own.size(); ++i) {
    if ((own.blocks[static_cast<size_t>(i)].id() >= 0) != (i >= own.first))
      return broken(sequence,
                    fmt::format("has block {} {}", i, i >= own.first ? "missing" : "held"));
  }
  return {};
}

}  // namespace pippin::engine
