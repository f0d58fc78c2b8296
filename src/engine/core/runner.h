// Runner: the device as engine/core sees it. The real one is exec/runner.cpp; simulations have a
// fake.
#pragma once

#include <deque>
#include <span>
#include <utility>

#include "engine/core/step_plan.h"
#include "engine/core/types.h"

namespace pippin::engine {

class Runner {
 public:
  virtual ~Runner() = default;
  /// Tells of a sequence before its first row. The submission outlives the sequence.
  virtual void admit(SequenceId id, const Submission& submission) = 0;
  /// Runs one step, then drops the state of `plan.released`. Returns one RowOutput per row. Never
  /// throws; a failed step gives every row an error.
  virtual StepOutput run(const StepPlan& plan) = 0;

  /// Says whether give_back() does anything.
  virtual bool can_give_back() const { return false; }
  /// Gives the memory of KV blocks back to the system: in each group of those from number
  /// `in_service` on. They may be used again later.
  /// Requires: no step is under way.
  virtual void give_back(std::span<const int> /*in_service*/) {}

  /// Says whether the next step may be enqueued before this plan's output is known (async
  /// scheduling).
  virtual bool can_enqueue_async(const StepPlan& /*plan*/) const { return false; }
  /// run() in two halves, for async scheduling: enqueue() up to two steps, then collect() their
  /// outputs in order.
  /// Requires: the plan lives until its output is collected; can_enqueue_async() of the step
  /// before, if a row has a previous_row.
  virtual void enqueue(const StepPlan& plan) { ready_.push_back(run(plan)); }
  virtual StepOutput collect() {
    StepOutput output = std::move(ready_.front());
    ready_.pop_front();
    return output;
  }

 private:
  std::deque<StepOutput> ready_;
};

}  // namespace pippin::engine
