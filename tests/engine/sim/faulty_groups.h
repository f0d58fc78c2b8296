// Managers of KV groups that are wrong in one way each, in place of a scheduler's own. Each notes
// when its fault has reached a step.
#pragma once

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "engine/core/attention_group.h"
#include "engine/core/cross_group.h"
#include "engine/core/state_group.h"

namespace pippin::engine::testing {

/// Notes the sequences that a fault concerns, until a step of theirs has run.
class Suspects {
 public:
  explicit Suspects(bool& planted) : planted_(planted) {}
  void add(const Sequence& sequence) { ids_.insert(sequence.id); }
  void ran(const Sequence& sequence) { planted_ |= ids_.contains(sequence.id); }
  void left(const Sequence& sequence) { ids_.erase(sequence.id); }

 private:
  bool& planted_;
  std::set<SequenceId> ids_;
};

inline PromptKey key_of(const Sequence& sequence) { return {sequence.hashes, sequence.identity()}; }

/// A group that notes the sequences which its fault concerns.
template <typename Group>
class WatchedGroup : public Group {
 public:
  WatchedGroup(const KvGroupPlan& plan, const KvLimits& limits, int index, bool& planted)
      : Group(plan, limits, index), suspects_(planted) {}

  void commit(Sequence& sequence, bool all_true) override {
    suspects_.ran(sequence);
    Group::commit(sequence, all_true);
  }
  void leave(Sequence& sequence, Leaving how) override {
    suspects_.left(sequence);
    Group::leave(sequence, how);
  }

 protected:
  Suspects suspects_;
};

/// One whose matches are longer than those of a true group.
template <typename Group>
class LongMatchGroup : public WatchedGroup<Group> {
 public:
  using WatchedGroup<Group>::WatchedGroup;

  void admit(Sequence& sequence, GroupMatch& match, int positions, StepPlan& plan,
             std::vector<BlockLease>& held) override {
    const bool too_long = positions > 0 && Group::longest(key_of(sequence), positions) < positions;
    if (too_long) this->suspects_.add(sequence);
    Group::admit(sequence, match, positions, plan, held);
  }
};

/// Matches one block more than it has.
class LongAttentionGroup final : public LongMatchGroup<AttentionGroup> {
 public:
  using LongMatchGroup<AttentionGroup>::LongMatchGroup;

  int longest(const PromptKey& prompt, int at_most) const override {
    const int has = AttentionGroup::longest(prompt, at_most);
    const int block_end = (has / limits_.block_positions + 1) * limits_.block_positions;
    const bool lies = block_end <= at_most && limits_.blocks_for(at_most) < pool_.available();
    return lies ? block_end : has;
  }
  void lease(const PromptKey& prompt, int positions, GroupMatch& match) override {
    const int has = AttentionGroup::longest(prompt, positions);
    const int whole = has / limits_.block_positions * limits_.block_positions;
    AttentionGroup::lease(prompt, has == positions ? has : whole, match);
    while (match.table.size() < positions / limits_.block_positions)
      match.table.blocks.push_back(*pool_.acquire());
  }
};

/// Gives blocks back as if its window, or its chunks, were shorter.
class ShortSightedGroup final : public AttentionGroup {
 public:
  ShortSightedGroup(const KvGroupPlan& plan, const KvLimits& limits, int index, bool& planted)
      : AttentionGroup(shorter(plan), limits, index),
        planted_(planted),
        sight_{plan.kind, plan.window, limits.block_positions} {}

  void plan_row(Sequence& sequence, int start, int end, BlockTable& ids, StepPlan& plan) override {
    AttentionGroup::plan_row(sequence, start, end, ids, plan);
    const auto first = static_cast<size_t>(sight_.first_block(start));
    planted_ |= first < ids.size() && ids[first] < 0;
  }

 private:
  static KvGroupPlan shorter(KvGroupPlan plan) {
    plan.window = std::max(1, plan.window / 2);
    return plan;
  }

  bool& planted_;
  const Sight sight_;
};

/// Matches one position more than it has a state for.
class LongStateGroup final : public LongMatchGroup<StateGroup> {
 public:
  using LongMatchGroup<StateGroup>::LongMatchGroup;

  int longest(const PromptKey& prompt, int at_most) const override {
    const int has = StateGroup::longest(prompt, at_most);
    return has > 0 && has < at_most ? has + 1 : has;
  }
  void lease(const PromptKey& prompt, int positions, GroupMatch& match) override {
    StateGroup::lease(prompt, StateGroup::longest(prompt, positions), match);
  }
};

/// Keeps each checkpoint for the position behind its own.
class LateCheckpointGroup final : public WatchedGroup<StateGroup> {
 public:
  using WatchedGroup<StateGroup>::WatchedGroup;

  void admit(Sequence& sequence, GroupMatch& match, int positions, StepPlan& plan,
             std::vector<BlockLease>& held) override {
    if (late_.contains(match.source.id())) suspects_.add(sequence);
    StateGroup::admit(sequence, match, positions, plan, held);
    late_.erase(table(sequence).blocks.front().id());
  }
  bool prepare_drafts(Sequence& sequence) override {
    const bool prepared = StateGroup::prepare_drafts(sequence);
    late_.erase(table(sequence).spare.id());
    return prepared;
  }
  void plan_row(Sequence& sequence, int start, int end, BlockTable& ids, StepPlan& plan) override {
    KvTable& own = table(sequence);
    const BlockId before = own.checkpoint.id();
    StateGroup::plan_row(sequence, start, end, ids, plan);
    if (own.checkpoint.id() < 0 || own.checkpoint.id() == before) return;
    ++own.checkpoint_at;
    late_.insert(own.checkpoint.id());
  }

 private:
  std::set<BlockId> late_;
};

/// Does not go back to the state before drafts that were rejected.
class UnrolledGroup final : public WatchedGroup<StateGroup> {
 public:
  using WatchedGroup<StateGroup>::WatchedGroup;

  void commit(Sequence& sequence, bool all_true) override {
    WatchedGroup<StateGroup>::commit(sequence, true);
    if (!all_true) suspects_.add(sequence);
  }
};

/// Keeps the first encoded input that a sequence leaves.
class LeakingCrossGroup final : public CrossGroup {
 public:
  LeakingCrossGroup(const KvGroupPlan& plan, const KvLimits& limits, int index, bool& planted)
      : CrossGroup(plan, limits, index), planted_(planted) {}

  void leave(Sequence& sequence, Leaving how) override {
    if (kept_.id() < 0) kept_ = pool_.lease(table(sequence).blocks.front().id());
    planted_ = true;
    CrossGroup::leave(sequence, how);
  }

 private:
  bool& planted_;
  BlockLease kept_;
};

}  // namespace pippin::engine::testing
