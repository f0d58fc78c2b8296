// StateGroup: recurrent states. Each sequence has one, which its rows read and write; copies of it
// (checkpoints) are kept, so that a prefix is used again and rejected drafts are taken back.
// Owner: KvGroups. Thread: the device thread.
#pragma once

#include <vector>

#include "engine/core/kv_group.h"
#include "engine/core/prefix_cache.h"

namespace pippin::engine {

/// Where checkpoints come from:
///  1. Chunks of prompts end at multiples of checkpoint_positions. The row that begins there first
///     copies the state to a block of its own, if the pool has one.
///  2. A sequence that ends or is preempted leaves its state as a checkpoint of its last computed
///     position, so that a conversation's next turn continues there.
///  3. Before drafts run, the state is copied to a spare block. If a draft is rejected the sequence
///     returns to the spare, and accepted tokens are computed again.
class StateGroup : public KvGroup {
 public:
  /// A sequence's state, one to copy from, and a checkpoint or spare.
  static constexpr int kBlocksMin = 3;

  /// Requires: plan.blocks >= kBlocksMin; checkpoint_positions is a multiple of a block's, or 0.
  StateGroup(const KvGroupPlan& plan, const KvLimits& limits, int index);

  int longest(const PromptKey& prompt, int at_most) const override;
  KnownPrefix known(const PromptKey& prompt) const override;
  void lease(const PromptKey& prompt, int positions, GroupMatch& match) override;
  bool fits(const Sequence& sequence, const GroupMatch& match, int positions,
            std::span<Sequence* const> active) const override;
  void admit(Sequence& sequence, GroupMatch& match, int positions, StepPlan& plan,
             std::vector<BlockLease>& held) override;
  int chunk_end(const Sequence& sequence, int end) const override;
  bool prepare_drafts(Sequence& sequence) override;
  void plan_row(Sequence& sequence, int start, int end, BlockTable& ids, StepPlan& plan) override;
  void commit(Sequence& sequence, bool all_true) override;
  bool rolls_back_whole_rows() const override { return true; }
  void leave(Sequence& sequence, Leaving how) override;
  Result<void> check_integrity() const override;
  Result<void> check_table(const Sequence& sequence) const override;

 private:
  /// A position as the cache has it: behind so many tokens of a block.
  struct Place {
    int block = 0, filled = 0;
  };
  Place place_of(int position) const {
    const int block = (position - 1) / limits_.block_positions;
    return {block, position - block * limits_.block_positions};
  }
  std::pair<BlockId, int> deepest(const PromptKey& prompt, int block, int end) const;
  bool has(const Sequence& sequence, int position) const;
  void keep(const Sequence& sequence, BlockId block, int position);

  PrefixCache cache_;
};

}  // namespace pippin::engine
