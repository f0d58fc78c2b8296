// AttentionGroup: keys and values of positions, in blocks: of layers that see all of them (kFull),
// the last `window` (kSliding), or those of the query's own chunk (kChunked).
// Owner: KvGroups. Thread: the device thread.
#pragma once

#include <vector>

#include "engine/core/kv_group.h"
#include "engine/core/prefix_cache.h"

namespace pippin::engine {

/// What a query sees, in blocks.
struct Sight {
  KvKind kind = KvKind::kFull;
  int window = 0;
  int block_positions = 16;

  /// The first block that the query at `computed`, or a later one, sees.
  int first_block(int computed) const {
    if (kind == KvKind::kFull) return 0;
    const int first = kind == KvKind::kSliding ? computed - window + 1 : computed / window * window;
    return first > 0 ? first / block_positions : 0;
  }
  /// Blocks that hold `tokens` positions and what the first of them sees, wherever they begin.
  int blocks_over(int tokens) const {
    return (window - 1 + tokens + block_positions - 2) / block_positions + 1;
  }
  /// Blocks with which one sequence can always run: what a token sees, and a step.
  int blocks_min(int step_tokens_max) const {
    if (kind == KvKind::kFull) return 1;
    return blocks_over(1) + (step_tokens_max + block_positions - 1) / block_positions;
  }
};

/// How a group keeps only what its layers can see again:
///  1. kFull leases blocks for the whole prompt at admission. The others lease for the chunk that
///  the
///     next step computes.
///  2. After each step, blocks that no later query sees are released. They stay cached, so that a
///     prompt that ends or differs there still finds them.
///  3. A sequence continues from a position if all blocks that its next token sees are cached. A
///     partly filled one is copied.
///  4. First of all, each active sequence in order of turn leases its next token's block, if need
///  be
///     by preempting the last in turn. Chunks of prompts are cut to the blocks that are left.
///  5. The first in turn always moves: the pool holds at least what a token sees and a step.
///  6. Admission keeps back what each active sequence sees, and a step. So chunks are seldom cut.
class AttentionGroup : public KvGroup {
 public:
  /// Requires: plan.blocks >= sight().blocks_min(limits.step_tokens_max).
  AttentionGroup(const KvGroupPlan& plan, const KvLimits& limits, int index);

  int longest(const PromptKey& prompt, int at_most) const override;
  KnownPrefix known(const PromptKey& prompt) const override;
  void lease(const PromptKey& prompt, int positions, GroupMatch& match) override;
  bool contains(const BlockHash& hash) const override { return cache_.contains(hash); }
  bool fits(const Sequence& sequence, const GroupMatch& match, int positions,
            std::span<Sequence* const> active) const override;
  void admit(Sequence& sequence, GroupMatch& match, int positions, StepPlan& plan,
             std::vector<BlockLease>& held) override;
  bool cover(Sequence& sequence, int end) override;
  int missing(const Sequence& sequence, int end) const override;
  int reach(const Sequence& sequence) const override;
  void plan_row(Sequence& sequence, int start, int end, BlockTable& ids, StepPlan& plan) override;
  void commit(Sequence& sequence, bool all_true) override;
  void record(Sequence& sequence, int block, std::span<const Token> tokens,
              const BlockHash* hash) override;
  Result<void> check_integrity() const override;
  Result<void> check_table(const Sequence& sequence) const override;

 private:
  bool sees_all() const { return sight_.kind == KvKind::kFull; }
  int full_blocks(const PromptKey& prompt, int at_most) const;
  std::pair<BlockId, int> next_block(const PromptKey& prompt, int full, int at_most) const;
  int wanted(int computed, int length) const;
  int blocks_to_cover(const Sequence& sequence, int end) const;
  void release_unseen(KvTable& table, int computed) const;

  const Sight sight_;
  const int step_blocks_;  // kept back for a step's chunks
  PrefixCache cache_;
};

}  // namespace pippin::engine
