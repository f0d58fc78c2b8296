// Runner: the device as engine/core sees it. The real one is exec/runner.cpp; simulations have a
// fake.
#pragma once

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
};

}  // namespace pippin::engine
