// Decode: rows that go on by one token, by tokens that a constraint has decided, or by drafts; and
// what their sampled tokens mean for the sequence.
// Owner: the scheduler. Thread: the device thread.
#pragma once

#include <utility>
#include <vector>

#include "engine/core/kv_groups.h"
#include "engine/core/row_planner.h"
#include "engine/core/scheduler_options.h"
#include "engine/core/sequence.h"
#include "engine/core/sequence_table.h"
#include "engine/core/step_plan.h"

namespace pippin::engine {

class Recorder;

class Decode {
 public:
  /// Borrows all of them.
  Decode(const SchedulerOptions& options, KvGroups& kv, SequenceTable& table, RowPlanner& rows)
      : options_(options), kv_(kv), table_(table), rows_(rows) {}

  void set_recorder(Recorder* recorder) { recorder_ = recorder; }

  /// Adds a row for each active sequence that decodes and shares steps, in order of turn, and
  /// leases the blocks that prompts need at least. `prefill_needs`: tokens kept for the first
  /// prompt.
  void plan(StepPlan& plan, int prefill_needs);

  /// Says whether every row of a plan goes on by one token in the step behind it.
  bool can_continue(const StepPlan& plan, TimePoint now) const;
  /// Plans the step behind `plan`, whose rows take their tokens from its rows.
  /// Requires: can_continue().
  StepPlan plan_behind(const StepPlan& plan);

  /// Takes the tokens that a row sampled, or a constraint put behind them.
  void accept(Sequence& sequence, RowOutput& output);
  /// Takes a row with drafts: what came true stays computed, the rest is rolled back.
  void accept_drafts(Sequence& sequence, const PlanRow& row, RowOutput& output);

 private:
  int draft(Sequence& sequence, int at_most);
  bool accept_token(Sequence& sequence, SampledToken sampled, bool complete);

  const SchedulerOptions& options_;
  KvGroups& kv_;
  SequenceTable& table_;
  RowPlanner& rows_;
  Recorder* recorder_ = nullptr;
};

}  // namespace pippin::engine
