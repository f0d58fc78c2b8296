// Prefill: how prompts share what decode rows leave of a step, and what their rows give.
// Owner: the scheduler. Thread: the device thread.
#pragma once

#include "base/clock.h"
#include "engine/core/kv_groups.h"
#include "engine/core/row_planner.h"
#include "engine/core/scheduler_options.h"
#include "engine/core/sequence.h"
#include "engine/core/sequence_table.h"
#include "engine/core/step_budget.h"
#include "engine/core/step_plan.h"

namespace pippin::engine {

class Prefill {
 public:
  /// Borrows all of them.
  Prefill(const SchedulerOptions& options, KvGroups& kv, SequenceTable& table, RowPlanner& rows)
      : options_(options),
        kv_(kv),
        table_(table),
        rows_(rows),
        budget_(options.step_tokens_max, options.step_target) {}

  /// Adds chunks of prompts behind the plan's decode rows. Half of the budget goes to the prompt
  /// whose turn it is, so that none starves; the rest to the one with the least left of the same
  /// priority, so that a short prompt passes a long one.
  void plan(StepPlan& plan);
  /// Returns the tokens that the first prompt in turn needs at least; 0 without one.
  int first_needs() const;
  /// Takes what a prompt's row gave beside its next token: log probabilities, an embedding.
  /// Returns: false if the sequence has ended with it.
  bool commit(Sequence& sequence, const PlanRow& row, RowOutput& output);
  /// Learns how long a step of so many tokens takes.
  void observe(int step_tokens, Duration took) { budget_.observe(step_tokens, took); }

 private:
  int budget_for(const StepPlan& plan) const;

  const SchedulerOptions& options_;
  KvGroups& kv_;
  SequenceTable& table_;
  RowPlanner& rows_;
  StepBudget budget_;
};

}  // namespace pippin::engine
