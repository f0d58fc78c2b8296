// KvGroups: all KV groups of a model as the scheduler sees them. A prefix match is the longest from
// which every group can continue. A sequence is admitted, extended and released in all groups.
// Owner: the scheduler. Thread: the device thread.
#pragma once

#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "base/kv_plan.h"
#include "base/result.h"
#include "engine/core/block_hash.h"
#include "engine/core/kv_group.h"
#include "engine/core/prefix_miss.h"
#include "engine/core/scheduler_options.h"
#include "engine/core/sequence.h"
#include "engine/core/step_plan.h"
#include "engine/core/types.h"

namespace pippin::engine {

/// What the groups have of a prompt, leased.
struct PrefixMatch {
  std::vector<GroupMatch> groups;
  int tokens = 0;  // positions that need not be computed
  /// Position of the first token that differs from what is cached; the prompt's length if none
  /// does.
  int first_difference = 0;
  PrefixMiss miss = PrefixMiss::kNone;  // why the match ends there
  bool copies() const;
};

class KvGroups {
 public:
  /// Requires: options.check().
  explicit KvGroups(const SchedulerOptions& options);
  ~KvGroups();

  bool empty() const { return groups_.empty(); }
  size_t size() const { return groups_.size(); }
  KvGroup& group(size_t i) { return *groups_[i]; }

  /// Hashes the full blocks of the sequence's tokens that have no hash yet.
  void extend_hashes(Sequence& sequence);
  /// Leases the longest prefix that every group can continue from, of at most `at_most` positions.
  /// The last token is always left to compute, so that there are logits to sample from.
  PrefixMatch match(Sequence& sequence, int at_most);
  /// Returns a match of nothing.
  PrefixMatch no_match() const;
  /// Says whether every group has the block of this hash, or needs none.
  bool contains(const BlockHash& hash) const;

  bool fits(const Sequence& sequence, const PrefixMatch& match,
            std::span<Sequence* const> active) const;
  /// Gives the sequence its tables.
  /// Requires: it fits.
  void admit(Sequence& sequence, PrefixMatch& match, StepPlan& plan, std::vector<BlockLease>& held);
  /// Leases blocks up to position `end`, and for all tokens where a group holds them all.
  /// Returns: false if a group has not that many.
  bool cover(Sequence& sequence, int end);
  /// cover(), which must succeed: can_cover() or reach() has been asked.
  void must_cover(Sequence& sequence, int end);
  /// Says whether cover() would succeed for all of these together.
  bool can_cover(std::span<const std::pair<const Sequence*, int>> ends) const;
  /// Returns where a prompt's chunk that would end at `end` should end, for checkpoints.
  int chunk_end(const Sequence& sequence, int end) const;
  /// Returns the position up to which cover() can go.
  int reach(const Sequence& sequence) const;
  bool prepare_drafts(Sequence& sequence);
  /// Fills in what a row at [start, end) needs of each group.
  void plan_row(Sequence& sequence, int start, int end, PlanRow& row, StepPlan& plan);
  /// Takes in a row of which the first `accepted` tokens were right.
  /// Returns: the positions that count as computed.
  int commit(Sequence& sequence, int row_tokens, int accepted);
  /// Releases all that a sequence holds. With `held`, the leases move there, for a step that still
  /// writes.
  void release(Sequence& sequence, Leaving how, std::vector<BlockLease>* held = nullptr);

  /// Gives each group that many blocks, at most those it was made with.
  /// Requires: no block that goes is leased.
  void resize(std::span<const int> blocks);

  std::vector<KvGroupStatus> status() const;
  /// Errors: kInternal, if pools, caches and the sequences disagree. Cost: O(blocks + sequences).
  Result<void> check_integrity(std::span<const Sequence* const> holders,
                               std::span<const Sequence* const> others,
                               std::span<const BlockLease* const> held) const;

 private:
  friend struct SchedulerTamper;  // by which a test plants faults
  // Salts whose roots are remembered, to tell why a prompt is not known.
  static constexpr size_t kRootsMax = 8;

  BlockHash root_of(const Submission& submission);
  void explain(const PromptKey& prompt, PrefixMatch& match);
  bool known_to_another_root(const PromptKey& prompt);
  void record(Sequence& sequence);

  const KvLimits limits_;
  BlockHasher hasher_;
  std::vector<std::unique_ptr<KvGroup>> groups_;
  bool whole_rows_ = false;      // a rejected draft costs the whole row
  std::deque<BlockHash> roots_;  // of the newest salts
};

}  // namespace pippin::engine
