// Scheduler: decides what each step computes, and turns a step's output into events. Pure host
// code: no clock, no thread, no device of its own, so that a run can be simulated and repeated.
// Round by round: next(), the runner runs the plan, commit().
// Owner: the engine. Thread: the device thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "engine/core/kv_groups.h"
#include "engine/core/scheduler_options.h"
#include "engine/core/sequence.h"
#include "engine/core/step_budget.h"
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

  /// Has everything told and planned from now on recorded.
  /// Requires: before the first submit(); a
  /// null recorder records nothing.
  void set_recorder(Recorder* recorder) { recorder_ = recorder; }

  /// Says whether a submission can ever be served. Thread: any.
  /// Errors: kInvalidArgument, kContextLength with both numbers.
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
  /// From now on every step holds one row; see SchedulerOptions::serial.
  void serialise();
  /// Takes blocks of each KV group out of service, or back into it; what they held is forgotten.
  /// Returns: false, with nothing changed, while blocks that would go may be in use, and where the
  /// numbers are more than the options', or too few for the longest request.
  bool resize(std::span<const int> blocks);

  /// Plans a step. One without rows means that nothing can run now; it is run only if
  /// StepPlan::runs(), and committed in any case.
  /// Requires: the plan before has been committed.
  StepPlan next(TimePoint now);
  /// Plans the step after `plan` before `plan` has been run: each of its rows goes on by the token
  /// that it will give. For devices that work ahead. Returns nothing where that cannot be said yet
  /// or should not be done: prompts are being computed, others wait, a deadline or a limit is near,
  /// or blocks are short. Requires: `plan` is the last one planned and not yet committed.
  std::optional<StepPlan> next_async(const StepPlan& plan, TimePoint now);
  /// Takes in what the plan's rows gave. Returns all events since the last commit.
  /// Requires: one
  /// RowOutput for each row.
  std::vector<SequenceEvent> commit(const StepPlan& plan, StepOutput output, TimePoint now);

  /// When next() has something to end although nobody called; nothing if no deadline is near.
  std::optional<TimePoint> next_timer() const;
  /// The submission of a live sequence or of one whose release the runner has not seen yet.
  const Submission& submission(SequenceId id) const;

  SchedulerStatus status() const;
  /// Sequences never admitted yet: what queue_max bounds.
  int queued() const { return counters_.queued; }
  std::vector<SequenceStatus> sequences() const;

  /// Errors: kInternal, if pool, cache and sequences disagree. Cost: O(blocks + sequences). For
  /// tests.
  Result<void> check_integrity() const;

 private:
  friend struct SchedulerTamper;  // by which a test plants faults
  using Timer = std::tuple<TimePoint, SequenceId, FinishReason>;

  // scheduler_plan.cpp: the phases of next().
  void expire(TimePoint now);
  void rejoin_readers();
  void preempt_for_priority();
  void plan_rows(StepPlan& plan);
  bool is_exclusive(const Sequence& sequence) const;
  Sequence* next_exclusive() const;
  bool plan_exclusive(StepPlan& plan);
  void add_row(StepPlan& plan, Sequence& sequence, int tokens);
  static void introduce(StepPlan& plan, Sequence& sequence);
  PlanRow& new_row(StepPlan& plan, Sequence& sequence, int start, int end);

  // scheduler_decode.cpp: rows that go on by a token, or by tokens that are known or guessed.
  void plan_decodes(StepPlan& plan);
  int draft(Sequence& sequence, int at_most);
  bool grow(Sequence& sequence, int tokens);
  Sequence* last_in_turn() const;
  void preempt(Sequence& sequence);
  bool can_continue(const StepPlan& plan, TimePoint now);

  // scheduler_prefill.cpp: how prompts share what decode rows leave of a step.
  void plan_prefills(StepPlan& plan, int budget);
  int prefill_budget(const StepPlan& plan) const;
  int uncut_end(const Sequence& sequence, int end) const;
  int least_tokens(const Sequence& sequence) const;
  int row_end(const Sequence& sequence, int end) const;
  const Sequence* first_prefill() const;

  // scheduler_admission.cpp: who comes in, and with which prefix.
  void admit_waiting(StepPlan& plan);
  bool try_admit(StepPlan& plan, Sequence& sequence);
  bool waits_for_prefix(const Sequence& sequence) const;
  PrefixMatch look_up(Sequence& sequence);
  bool reuses_prefix(const Sequence& sequence) const;
  void note_first_admission(Sequence& sequence, const PrefixMatch& match);

  // scheduler_commit.cpp: what a step gave.
  void commit_row(Sequence& sequence, const PlanRow& row, RowOutput output);
  int take_drafts(Sequence& sequence, const PlanRow& row, const RowOutput& output);
  void accept_tokens(Sequence& sequence, RowOutput& output);
  bool accept_token(Sequence& sequence, SampledToken sampled, bool complete);
  void collect_prompt_logprobs(Sequence& sequence, const PlanRow& row, RowOutput& output);

  // scheduler.cpp: a sequence's life.
  Sequence* find(SequenceId id);
  void activate(Sequence& sequence);
  void end_pause(Sequence& sequence);
  void leave_lists(Sequence& sequence);
  void finish(Sequence& sequence, FinishReason reason, Error error = {});

  const SchedulerOptions options_;
  KvGroups kv_;
  StepBudget budget_;

  std::unordered_map<SequenceId, std::unique_ptr<Sequence>> sequences_;
  std::set<Sequence*, ComesFirst> waiting_;
  std::vector<Sequence*> active_;  // sorted by ComesFirst
  std::vector<Sequence*> paused_;
  std::set<Timer> timers_;
  uint64_t arrivals_ = 0;
  bool serial_;
  uint64_t turns_ = 0;  // of sequences that have steps for themselves
  bool last_step_was_exclusive_ = false;

  int steps_under_way_ = 0;  // two, while a step that was planned ahead waits behind another
  TimePoint planned_at_{};
  std::vector<BlockLease> copy_sources_;  // held until the copies are done
  std::vector<BlockLease> ended_blocks_;  // of sequences that ended while a step writes to them
  std::vector<SequenceId> released_;      // for the next plan
  std::vector<std::unique_ptr<Sequence>>
      ended_;  // in the order of release; the runner may still look at their submissions
  std::vector<SequenceEvent> events_;
  SchedulerStatus counters_;
  Recorder* recorder_ = nullptr;
};

}  // namespace pippin::engine
