#include "engine/core/scheduler.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "engine/core/recorder.h"
#include "engine/core/submission_check.h"

namespace pippin::engine {
namespace {

SchedulerOptions checked(SchedulerOptions options) {
  CHECK(options.check().ok());
  options.rows_max = std::min(options.rows_max, options.step_tokens_max);
  return options;
}

}  // namespace

Scheduler::Scheduler(const SchedulerOptions& options)
    : options_(checked(options)),
      kv_(options_),
      table_(options_, kv_),
      rows_(options_, kv_, table_),
      admission_(options_, kv_, table_),
      prefill_(options_, kv_, table_, rows_),
      decode_(options_, kv_, table_, rows_) {}

Scheduler::~Scheduler() = default;

void Scheduler::set_recorder(Recorder* recorder) {
  recorder_ = recorder;
  decode_.set_recorder(recorder);
}

Result<void> Scheduler::check(const SchedulerOptions& options, const Submission& submission) {
  return check_submission(options, submission);
}

Result<void> Scheduler::submit(SequenceId id, Submission submission) {
  RETURN_IF_ERROR(check(options_, submission));
  if (queued() >= options_.queue_max) {
    return fail(Code::kOverloaded,
                fmt::format("[engine] the queue is full: {} requests are waiting", queued()));
  }
  if (recorder_ != nullptr) recorder_->submitted(id, submission);
  table_.add(id, std::move(submission));
  return {};
}

void Scheduler::cancel(SequenceId id, FinishReason reason) {
  Sequence* sequence = table_.find(id);
  if (sequence == nullptr) return;
  if (recorder_ != nullptr) recorder_->cancelled(id, reason);
  table_.finish(*sequence, reason);
}

void Scheduler::pause(SequenceId id, TimePoint now) {
  Sequence* sequence = table_.find(id);
  if (sequence == nullptr || sequence->reader_behind) return;
  if (recorder_ != nullptr) recorder_->paused(id, now);
  table_.reader_falls_behind(*sequence, now);
}

void Scheduler::resume(SequenceId id) {
  Sequence* sequence = table_.find(id);
  if (sequence == nullptr || !sequence->reader_behind) return;
  if (recorder_ != nullptr) recorder_->resumed(id);
  table_.reader_caught_up(*sequence);
}

void Scheduler::make_deterministic() {
  if (rows_.deterministic()) return;
  rows_.make_deterministic();
  if (recorder_ != nullptr) recorder_->made_deterministic();
}

bool Scheduler::resize(std::span<const int> blocks) {
  if (blocks.size() != options_.kv.groups.size()) return false;
  SchedulerOptions resized = options_;
  bool shrinks = false;
  for (size_t i = 0; i < blocks.size(); ++i) {
    KvGroupPlan& group = resized.kv.groups[i];
    if (blocks[i] <= 0 || blocks[i] > group.blocks) return false;
    shrinks |= blocks[i] < kv_.group(i).pool().total();
    group.blocks = blocks[i];
  }
  if (!resized.check().ok() || resized.positions_max() < options_.positions_max()) return false;
  const bool idle = table_.idle() && admission_.copy_sources().empty() && steps_under_way_ == 0;
  if (shrinks && !idle) return false;
  kv_.resize(blocks);
  if (recorder_ != nullptr) recorder_->resized(blocks);
  return true;
}

StepPlan Scheduler::next(TimePoint now) {
  CHECK(steps_under_way_ == 0, "next() follows commit()");
  steps_under_way_ = 1;
  planned_at_ = now;
  StepPlan plan;
  plan.rows.reserve(table_.active().size() + 1);
  table_.expire(now);
  // Paused sequences whose readers caught up go before new ones: they hold blocks already.
  table_.rejoin_readers();
  admission_.make_room_for_head();
  plan_rows(plan);
  plan.released = table_.take_released();
  if (!plan.rows.empty()) plan.step = ++table_.counters().steps;
  if (recorder_ != nullptr) recorder_->planned(plan, now);
  return plan;
}

/// Gives the step to one exclusive sequence, or to all others.
void Scheduler::plan_rows(StepPlan& plan) {
  const bool others =
      std::any_of(table_.active().begin(), table_.active().end(),
                  [this](const Sequence* sequence) { return !rows_.is_exclusive(*sequence); });
  const bool exclusive = rows_.deterministic() || !last_step_was_exclusive_ || !others;
  last_step_was_exclusive_ = exclusive && plan_exclusive(plan);
  const bool shared = !last_step_was_exclusive_ && !rows_.deterministic();
  if (shared) decode_.plan(plan, prefill_.first_needs());
  admission_.admit_waiting(plan);
  if (shared) prefill_.plan(plan);
  if (plan.rows.empty()) last_step_was_exclusive_ = plan_exclusive(plan);
}

/// Returns: the sequence that has waited longest for a step of its own, null if none needs one.
Sequence* Scheduler::next_exclusive() const {
  Sequence* next = nullptr;
  for (Sequence* sequence : table_.active()) {
    if (!rows_.is_exclusive(*sequence)) continue;
    if (next == nullptr || sequence->last_turn < next->last_turn) next = sequence;
  }
  return next;
}

/// Plans the one row of an exclusive step. Recomputation after preemption replays the original
/// chunks: prompts in whole chunks, answers token by token.
/// Returns: false if no sequence needs a step for itself.
bool Scheduler::plan_exclusive(StepPlan& plan) {
  while (Sequence* sequence = next_exclusive()) {
    const int prompt_left = sequence->prompt_tokens() - sequence->computed;
    const int tokens = prompt_left > 0 ? std::min(prompt_left, options_.step_tokens_max) : 1;
    if (!rows_.grow(*sequence, tokens)) continue;  // it is not active any more
    const int end = rows_.row_end(*sequence, sequence->computed + tokens);
    rows_.add_row(plan, *sequence, end - sequence->computed);
    sequence->last_turn = table_.next_turn();
    return true;
  }
  return false;
}

std::optional<StepPlan> Scheduler::next_async(const StepPlan& plan, TimePoint now) {
  CHECK(steps_under_way_ == 1, "at most one step is planned asynchronously");
  if (!decode_.can_continue(plan, now)) return std::nullopt;
  StepPlan next = decode_.plan_behind(plan);
  steps_under_way_ = 2;
  next.released = table_.take_released();
  next.step = ++table_.counters().steps;
  if (recorder_ != nullptr) recorder_->planned(next, now);
  return next;
}

std::vector<SequenceEvent> Scheduler::commit(const StepPlan& plan, StepOutput output,
                                             TimePoint now) {
  CHECK(steps_under_way_ > 0, "commit() follows next()");
  CHECK(output.rows.size() == plan.rows.size(), "one output for each row");
  if (recorder_ != nullptr) recorder_->ran(output, now);
  // An asynchronously planned step is enqueued already: it still writes to the blocks of sequences
  // that end in this commit.
  const bool another_runs = --steps_under_way_ > 0;
  admission_.copies_done();
  table_.step_done(plan.released.size(), another_runs);
  for (size_t i = 0; i < plan.rows.size(); ++i) {
    Sequence* sequence = table_.find(plan.rows[i].sequence);
    if (sequence == nullptr) continue;  // cancelled while the step ran
    commit_row(*sequence, plan.rows[i], output.rows[i]);
  }
  // How long a step takes is known only where none runs before or behind it.
  const bool planned_async = !plan.rows.empty() && plan.rows.front().previous_row >= 0;
  if (!plan.rows.empty() && !another_runs && !planned_async)
    prefill_.observe(plan.tokens(), now - planned_at_);
  return table_.take_events();
}

void Scheduler::commit_row(Sequence& sequence, const PlanRow& row, RowOutput& output) {
  const int tokens = static_cast<int>(row.tokens.size());
  CHECK(sequence.planned == tokens && sequence.computed == row.start);
  sequence.planned = std::exchange(sequence.planned_async, 0);
  if (output.error) {
    table_.finish(sequence, FinishReason::kError, *std::move(output.error));
    return;
  }
  if (row.drafts > 0) {
    decode_.accept_drafts(sequence, row, output);
    return;
  }
  kv_.commit(sequence, tokens, tokens);
  sequence.jump_forward = std::max(0, sequence.jump_forward - tokens);
  if (prefill_.commit(sequence, row, output) && row.sample) decode_.accept(sequence, output);
}

SchedulerStatus Scheduler::status() const {
  SchedulerStatus status = table_.status();
  status.kv = kv_.status();
  return status;
}

Result<void> Scheduler::check_integrity() const {
  return table_.check_integrity(admission_.copy_sources());
}

}  // namespace pippin::engine
