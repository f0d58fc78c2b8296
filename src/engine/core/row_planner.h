// RowPlanner: adds rows to a plan: where a row may end, which blocks it gets, at whose cost.
// Owner: the scheduler. Thread: the device thread.
#pragma once

#include "engine/core/kv_groups.h"
#include "engine/core/scheduler_options.h"
#include "engine/core/sequence.h"
#include "engine/core/sequence_table.h"
#include "engine/core/step_plan.h"

namespace pippin::engine {

class RowPlanner {
 public:
  /// Borrows all of them.
  RowPlanner(const SchedulerOptions& options, KvGroups& kv, SequenceTable& table)
      : options_(options), kv_(kv), table_(table) {}

  /// Returns the tokens of the shortest row that goes on with the sequence.
  int least_tokens(const Sequence& sequence) const;
  /// Says whether a sequence shares no step: because it must not, or because what it cannot be cut
  /// into leaves no room for others.
  bool is_exclusive(const Sequence& sequence) const;
  /// Returns where a row that would end at `end` ends: what blocks and uncut tokens allow, and
  /// where a checkpoint is wanted, if that is possible.
  int row_end(const Sequence& sequence, int end) const;

  /// Leases the blocks for the sequence's next tokens, at the cost of those whose turn comes last.
  /// Returns: false if that was the sequence itself, which is preempted then.
  bool grow(Sequence& sequence, int tokens);
  /// Adds the row of the sequence's next tokens, and of its drafts behind them.
  /// Requires: their blocks.
  void add_row(StepPlan& plan, Sequence& sequence, int tokens);
  /// Adds the row of a token that row `previous_row` of the step before samples.
  void add_async_row(StepPlan& plan, Sequence& sequence, int previous_row);
  /// Has the runner told of a sequence before it first hears of it.
  static void introduce(StepPlan& plan, Sequence& sequence);

  /// Makes every sequence exclusive from now on.
  void make_deterministic() { deterministic_ = true; }
  bool deterministic() const { return deterministic_; }

 private:
  int uncut_end(const Sequence& sequence, int end) const;
  PlanRow& new_row(StepPlan& plan, Sequence& sequence, int start, int end);

  const SchedulerOptions& options_;
  KvGroups& kv_;
  SequenceTable& table_;
  bool deterministic_ = options_.deterministic;
};

}  // namespace pippin::engine
