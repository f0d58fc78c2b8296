// KvGroup: the blocks of one group of layers: who holds them, what of them can be found again. One
// manager for each kind of group; KvGroups (kv_groups.h) asks all of them.
// Owner: KvGroups. Thread: the device thread.
#pragma once

#include <limits>
#include <span>
#include <vector>

#include "base/kv_plan.h"
#include "base/result.h"
#include "engine/core/block_hash.h"
#include "engine/core/block_pool.h"
#include "engine/core/prefix_miss.h"
#include "engine/core/sequence.h"
#include "engine/core/step_plan.h"
#include "engine/core/types.h"

namespace pippin::engine {

/// What all groups of a scheduler have in common.
struct KvLimits {
  int block_positions = 16;
  int step_tokens_max = 512;
  bool prefix_cache = true;
  /// A shorter part of a block is computed again: a copy costs a launch of its own.
  int copy_positions_min = 4;

  int blocks_for(int positions) const {
    return (positions + block_positions - 1) / block_positions;
  }
};

/// A prompt as prefix caches see it. `hashes` are the root's, then one for each full block.
struct PromptKey {
  std::span<const BlockHash> hashes;
  std::span<const Token> tokens;
};

/// What a group has of a prompt's beginning.
struct GroupMatch {
  KvTable table;      // blocks that the sequence shares
  BlockLease source;  // what is copied before its first step: a partly filled block, or a state
};

/// How far a group knows a prompt, and why not further.
struct KnownPrefix {
  int positions = 0;
  PrefixMiss miss = PrefixMiss::kNone;
};

/// What a sequence's blocks hold when it leaves: what it computed; what a step still writes;
/// nothing of use, because a row failed.
enum class Leaving : uint8_t { kSound, kBusy, kFailed };

class KvGroup {
 public:
  /// `index` is the group's place in the KV plan and in each sequence's tables.
  KvGroup(const KvGroupPlan& plan, const KvLimits& limits, int index)
      : plan_(plan), limits_(limits), index_(index), pool_(plan.blocks) {}
  virtual ~KvGroup() = default;
  KvGroup(const KvGroup&) = delete;
  KvGroup& operator=(const KvGroup&) = delete;

  const KvGroupPlan& plan() const { return plan_; }
  BlockPool& pool() { return pool_; }
  const BlockPool& pool() const { return pool_; }

  // Prefixes.

  /// Returns the largest number of positions, at most `at_most`, from which a sequence can go on.
  virtual int longest(const PromptKey& prompt, int at_most) const = 0;
  /// Returns how far the prompt is known at all, for a status page.
  virtual KnownPrefix known(const PromptKey& prompt) const = 0;
  /// Leases what going on from `positions` takes.
  /// Requires: longest(prompt, positions) == positions.
  virtual void lease(const PromptKey& prompt, int positions, GroupMatch& match) = 0;
  /// Says whether the full block of this hash is cached; true for kinds that find none by hash.
  virtual bool contains(const BlockHash& /*hash*/) const { return true; }

  // A sequence's life.

  /// Says whether the pool holds what the sequence needs beside its match and what the active ones
  /// will soon need.
  virtual bool fits(const Sequence& sequence, const GroupMatch& match, int positions,
                    std::span<Sequence* const> active) const = 0;
  /// Gives the sequence its table, to go on from `positions`. Copies go to the plan; what they read
  /// is kept in `held`.
  /// Requires: it fits.
  virtual void admit(Sequence& sequence, GroupMatch& match, int positions, StepPlan& plan,
                     std::vector<BlockLease>& held) = 0;
  /// Leases blocks for all tokens of the sequence (where the kind holds them all) and for positions
  /// up to `end`.
  /// Returns: false if the pool has not that many; those leased stay.
  virtual bool cover(Sequence& /*sequence*/, int /*end*/) { return true; }
  /// Returns the blocks that cover() would lease.
  virtual int missing(const Sequence& /*sequence*/, int /*end*/) const { return 0; }
  /// Returns the position up to which cover() can go.
  virtual int reach(const Sequence& /*sequence*/) const { return std::numeric_limits<int>::max(); }
  /// Returns where a prompt's chunk that would end at `end` should end, so that the group can keep
  /// what later prompts need.
  virtual int chunk_end(const Sequence& /*sequence*/, int end) const { return end; }
  /// Prepares for drafts, which may be rolled back.
  /// Returns: false if there is no room.
  virtual bool prepare_drafts(Sequence& /*sequence*/) { return true; }
  /// Writes the ids that a row at positions [start, end) needs, and the copies that go before it.
  virtual void plan_row(Sequence& sequence, int start, int end, BlockTable& ids,
                        StepPlan& plan) = 0;
  /// Takes in a row's result: positions up to sequence.computed are computed. Without `all_true`
  /// the rejected drafts must be as if never computed.
  virtual void commit(Sequence& sequence, bool all_true) = 0;
  /// Says whether rejected drafts cost the whole row, which is computed again without them.
  virtual bool rolls_back_whole_rows() const { return false; }
  /// Records newly computed positions of a block, a number in the table.
  virtual void record(Sequence& /*sequence*/, int /*block*/, std::span<const Token> /*tokens*/,
                      const BlockHash* /*hash*/) {}
  /// Called before the table is given back.
  virtual void leave(Sequence& /*sequence*/, Leaving /*how*/) {}

  /// Errors: kInternal, if pool and cache disagree, or a table holds too much or too little.
  virtual Result<void> check_integrity() const = 0;
  virtual Result<void> check_table(const Sequence& sequence) const = 0;

 protected:
  KvTable& table(Sequence& sequence) const { return sequence.kv[static_cast<size_t>(index_)]; }
  const KvTable& table(const Sequence& sequence) const {
    return sequence.kv[static_cast<size_t>(index_)];
  }
  Result<void> broken(const Sequence& sequence, std::string what) const;

  const KvGroupPlan plan_;
  const KvLimits limits_;
  const int index_;
  BlockPool pool_;
};

}  // namespace pippin::engine
