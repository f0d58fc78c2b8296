// Scheduler: decides what each step computes, and turns a step's output into events. Pure host
// code: no clock, no thread, no device of its own, so that a run can be simulated and repeated.
// Round by round: next(), the runner runs the plan, commit().
// Owner: the engine. Thread: the device thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "engine/core/admission.h"
#include "engine/core/decode.h"
#include "engine/core/kv_groups.h"
#include "engine/core/prefill.h"
#include "engine/core/row_planner.h"
#include "engine/core/scheduler_options.h"
#include "engine/core/sequence.h"
#include "engine/core/sequence_table.h"
#include "engine/core/step_plan.h"
#include "engine/core/types.h"

namespace pippin::engine {

class Recorder;

class Scheduler {
 public:
  /// Requires: options.check().
  explicit Scheduler(const SchedulerOptions& options);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  /// Records everything told and planned from now on; null records nothing.
  /// Requires: before the first submit().
  void set_recorder(Recorder* recorder);

  /// Says whether a submission can ever be served. Thread: any.
  /// Errors: check_submission()'s.
  static Result<void> check(const SchedulerOptions& options, const Submission& submission);

  /// Queues a sequence under a new id.
  /// Errors: check()'s, and kOverloaded.
  Result<void> submit(SequenceId id, Submission submission);
  /// Ends a sequence now; unknown ids have ended already.
  void cancel(SequenceId id, FinishReason reason);
  /// Stops giving rows to a sequence whose reader is behind, until resume(). It ends with
  /// kSlowReader after slow_reader_max.
  void pause(SequenceId id, TimePoint now);
  void resume(SequenceId id);
  /// From now on every step holds one row; see SchedulerOptions::deterministic.
  void make_deterministic();
  /// Takes blocks of each KV group out of service, or back into it; what they held is forgotten.
  /// Returns: false, with nothing changed, while blocks that would go may be in use. Also where the
  /// numbers exceed the options', or are too few for the longest request.
  bool resize(std::span<const int> blocks);

  /// Plans a step. One without rows means that nothing can run now; it is run only if
  /// StepPlan::runs(), and committed in any case.
  /// Requires: the plan before has been committed.
  StepPlan next(TimePoint now);
  /// Plans step n+1 before the tokens of step n, which is `plan`, are known (async scheduling).
  /// Returns: nothing while prompts are being computed, sequences wait, a deadline or a limit is
  /// near, or blocks are short.
  /// Requires: `plan` is the last one planned and not yet committed.
  std::optional<StepPlan> next_async(const StepPlan& plan, TimePoint now);
  /// Takes in the output of a plan. Returns all events since the last commit.
  /// Requires: one RowOutput for each row.
  std::vector<SequenceEvent> commit(const StepPlan& plan, StepOutput output, TimePoint now);

  /// Returns when the next deadline or time limit passes; nothing without any.
  std::optional<TimePoint> next_timer() const { return table_.next_timer(); }
  /// The submission of a live sequence or of one whose release the runner has not seen yet.
  const Submission& submission(SequenceId id) const { return table_.submission(id); }

  SchedulerStatus status() const;
  /// Sequences never admitted yet: what queue_max bounds.
  int queued() const { return table_.counters().queued; }
  std::vector<SequenceStatus> sequences() const { return table_.sequences(); }

  /// Errors: kInternal, if pool, cache and sequences disagree. Cost: O(blocks + sequences). For
  /// tests.
  Result<void> check_integrity() const;

 private:
  friend struct SchedulerTamper;  // by which a test plants faults

  void plan_rows(StepPlan& plan);
  bool plan_exclusive(StepPlan& plan);
  Sequence* next_exclusive() const;
  void commit_row(Sequence& sequence, const PlanRow& row, RowOutput& output);

  const SchedulerOptions options_;
  KvGroups kv_;
  SequenceTable table_;
  RowPlanner rows_;
  Admission admission_;
  Prefill prefill_;
  Decode decode_;
  Recorder* recorder_ = nullptr;

  bool last_step_was_exclusive_ = false;
  int steps_under_way_ = 0;  // two, while an asynchronously planned step waits behind another
  TimePoint planned_at_{};
};

}  // namespace pippin::engine
