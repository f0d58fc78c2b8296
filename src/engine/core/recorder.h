// Recorder: writes what a scheduler is told and what it plans as JSON lines; replay() runs a new
// scheduler by them and compares. The lines hold prompts and answers as token ids: recording is
// asked for by name and never the default.
// Owner: the engine. Thread: the device thread.
#pragma once

#include <iosfwd>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "engine/core/scheduler.h"
#include "engine/core/step_plan.h"
#include "engine/core/types.h"

namespace pippin::engine {

class Recorder {
 public:
  /// Writes the options at once.
  /// Requires: `out` outlives the recorder.
  Recorder(std::ostream& out, const SchedulerOptions& options);

  void submitted(SequenceId id, const Submission& submission);
  void cancelled(SequenceId id, FinishReason reason);
  void paused(SequenceId id, TimePoint now);
  void resumed(SequenceId id);
  void made_deterministic();
  void resized(std::span<const int> blocks);
  void drafted(SequenceId id, const std::vector<Token>& tokens);
  void planned(const StepPlan& plan, TimePoint now);
  void ran(const StepOutput& output, TimePoint now);

 private:
  std::ostream& out_;
};

/// Plans a recorded run again.
/// Requires: a recording made by Recorder, for it is trusted.
/// Returns: the number of plans, all equal to the recorded ones.
/// Errors: kInvalidFile, naming the line that cannot be read or whose plan differs.
Result<int> replay(std::istream& recording);

}  // namespace pippin::engine
